"""`python -m clients.privacy release | …`: what a steward or an analyst does, and what came of it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence

from clients.privacy import release
from domain.privacy.release.declaration import RefusedRelease

Verb = Callable[[Namespace], None]


class CannotBeDone(RuntimeError):
    """The command line asks for something that there is not."""


def switched(asked: Namespace, name: str) -> bool:
    """Read a switch: `on`, or left out."""
    said = getattr(asked, name)
    if said not in ("", "on"):
        raise CannotBeDone(f"{name} is {said!r}: write on, or leave it out")
    return bool(said)


def run_release(asked: Namespace) -> None:
    """Release."""
    release.release(asked.dataset, asked.epsilon, asked.day, dry=switched(asked, "dry_run"))


VERBS: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "release": (run_release, ("dataset", "epsilon", "day", "dry-run")),
}
"""Each verb with its options; a new one is a module here and a line."""

REFUSALS = (CannotBeDone, release.CannotBeReleased, RefusedRelease)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it; the exit code is 2 where it is refused or cannot be done."""
    parser = ArgumentParser(prog="clients.privacy", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True)
    for name, (run, options) in VERBS.items():
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=run)
        for option in options:
            verb.add_argument(f"--{option}", default="", dest=option.replace("-", "_"))
    asked = parser.parse_args(arguments)
    try:
        asked.run(asked)
    except REFUSALS as refusal:
        print(f"rivermill: {refusal}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
