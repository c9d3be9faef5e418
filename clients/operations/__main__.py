"""`python -m clients.operations redrive | replay | account`: what an operator does, and what came of it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from clients.operations import account, redrive, replay
from clients.operations.functions import CannotBeDone, call, refused_by_aws


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it; the exit code is 1 where something is left or does not add up, 2 where it cannot be done."""
    asked = parse(arguments)
    try:
        return int(not asked.run(asked))
    except CannotBeDone as refusal:
        print(f"rivermill: {refusal}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as fault:
        print(f"rivermill: {refused_by_aws(fault)}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Read the command line; an empty value, as make hands over, is as good as none."""
    parser = ArgumentParser(prog="clients.operations", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True)
    for name, run in (("redrive", run_redrive), ("replay", run_replay), ("account", run_account)):
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=run)
        for option in OPTIONS[name]:
            verb.add_argument(f"--{option}", default="", dest=option.replace("-", "_"))
    return parser.parse_args(arguments)


OPTIONS = {
    "redrive": ("reason", "from", "to", "dry-run"),
    "replay": ("from", "to", "dry-run", "swap", "accept"),
    "account": ("day",),
}


def switched(asked: Namespace, name: str) -> bool:
    """Read a switch: `on`, or left out."""
    said = getattr(asked, name)
    if said not in ("", "on"):
        raise CannotBeDone(f"{name} is {said!r}: write on, or leave it out")
    return bool(said)


def window(asked: Namespace) -> tuple[str | None, str | None]:
    """Read the two ends of a time."""
    return getattr(asked, "from") or None, asked.to or None


def run_redrive(asked: Namespace) -> bool:
    """Redrive."""
    told = redrive.redrive(call, asked.reason or None, *window(asked), dry=switched(asked, "dry_run"))
    print("\n".join(redrive.lines(told)))
    return redrive.succeeded(told)


def run_replay(asked: Namespace) -> bool:
    """Replay."""
    start, end = window(asked)
    switches = {name: switched(asked, name) for name in ("dry_run", "swap", "accept")}
    told = replay.replay(call, {"from": start, "to": end, **switches})
    print("\n".join(replay.lines(told)))
    return not told.get("refused")


def run_account(asked: Namespace) -> bool:
    """Account for a day."""
    proof = account.account(call, asked.day)
    print("\n".join(account.lines(proof)))
    return bool(proof["balanced"])


if __name__ == "__main__":
    sys.exit(main())
