"""`python -m clients.privacy erase | verify | release | anonymize`: what those do who answer for data."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from clients.operations import functions
from clients.privacy import anonymize, detokenize, erase, release, verify
from clients.privacy.jobs import CannotBePublished
from domain.privacy.anonymize.declaration import RefusedPublication
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


def run_anonymize(asked: Namespace) -> None:
    """Anonymize."""
    anonymize.anonymize(asked.publication, asked.day)


def run_erase(asked: Namespace) -> None:
    """Erase, and check the certificates as anybody would."""
    subjects = [subject for subject in asked.subject.split(",") if subject]
    if not subjects:
        raise CannotBeDone("SUBJECT is empty: write who is to be erased, several with commas between them")
    for path in erase.erase(functions.call, subjects):
        said = verify.verify(path, path.with_name(erase.PUBLIC_KEY))
        print("\n".join([f"{path}", *verify.lines(said)]))


def run_verify(asked: Namespace) -> None:
    """Check a certificate, or a folder of them; needs no platform and no network."""
    if not asked.public_key:
        raise CannotBeDone(f"write --public-key: the file that came with the certificate ({erase.PUBLIC_KEY})")
    print("\n".join(verify.told(Path(asked.certificate), Path(asked.public_key))))


def run_detokenize(asked: Namespace) -> None:
    """Turn tokens back, say what a value's tokens are, or open what is sealed."""
    kinds = ("tokens", "values", "sealed")
    given = [(name, [item for item in getattr(asked, name).split(",") if item]) for name in kinds]
    wanted = [(name, items) for name, items in given if items]
    if len(wanted) != 1:
        raise CannotBeDone("write --tokens, --values or --sealed, with commas between several")
    [(name, items)] = wanted
    who = {"purpose": asked.purpose, "who": detokenize.me()}
    found: dict[str, Any]
    if name == "sealed":
        found = detokenize.opened(functions.call, items, field=asked.field or "quarantine.value", **who)
    else:
        ask = detokenize.detokenize if name == "tokens" else detokenize.tokenize
        found = ask(functions.call, items, domain=asked.domain or "user", **who)
    print("\n".join(detokenize.lines(found)))


VERBS: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "erase": (run_erase, ("subject",)),
    "verify": (run_verify, ("CERTIFICATE", "public-key")),
    "anonymize": (run_anonymize, ("publication", "day")),
    "detokenize": (run_detokenize, ("tokens", "values", "sealed", "field", "domain", "purpose")),
    "release": (run_release, ("dataset", "epsilon", "day", "dry-run")),
}
"""Each verb with its options, a capital one in its place; a new one is a module here and a line."""

REFUSALS = (
    CannotBeDone,
    functions.CannotBeDone,
    verify.NotGenuine,
    CannotBePublished,
    RefusedPublication,
    RefusedRelease,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it; the exit code is 2 where it is refused or cannot be done."""
    parser = ArgumentParser(prog="clients.privacy", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True)
    for name, (run, options) in VERBS.items():
        verb = verbs.add_parser(name, allow_abbrev=False)
        verb.set_defaults(run=run)
        for option in options:
            if option.isupper():
                verb.add_argument(option.lower())
            else:
                verb.add_argument(f"--{option}", default="", dest=option.replace("-", "_"))
    asked = parser.parse_args(arguments)
    try:
        asked.run(asked)
    except REFUSALS as refusal:
        print(f"rivermill: {refusal}", file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as fault:
        print(f"rivermill: {functions.refused_by_aws(fault)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
