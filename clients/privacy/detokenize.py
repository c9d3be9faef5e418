"""Ask the steward's function to turn tokens back, or what the tokens of a value are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import boto3

from clients.operations.functions import Call

FUNCTION = "rivermill-detokenize"
MOST = 1_000


def detokenize(call: Call, tokens: Sequence[str], *, domain: str, purpose: str, who: str) -> dict[str, str]:
    """Give each token's value; refused without a purpose, and written down with one."""
    return _asked(call, "tokens", "values", tokens, domain=domain, purpose=purpose, who=who)


def tokenize(call: Call, values: Sequence[str], *, domain: str, purpose: str, who: str) -> dict[str, list[str]]:
    """Give each value's tokens, the newest first: what a row is called of which only the value is known."""
    return _asked(call, "values", "tokens", values, domain=domain, purpose=purpose, who=who)


def units(call: Call, tokens: Sequence[str], *, purpose: str, who: str) -> dict[str, str]:
    """Say what decisions of experiments call the people of some tokens; it names nobody, and is written down too."""
    return _asked(call, "units", "units", tokens, domain="user", purpose=purpose, who=who)


def opened(call: Call, sealed: Sequence[str], *, field: str, purpose: str, who: str) -> dict[str, str]:
    """Open sealed values of one field, such as `quarantine.value`: what was set aside, why, and with which value."""
    found: dict[str, str] = {}
    for part in _parts(sealed):
        asked = [{"field": field, "value": value} for value in part]
        found |= zip(part, call(FUNCTION, sealed=asked, purpose=purpose, who=who)["opened"], strict=True)
    return found


def me() -> str:
    """Say who asks, as AWS knows them."""
    return str(boto3.client("sts").get_caller_identity()["Arn"])


def lines(found: dict[str, Any]) -> list[str]:
    """Say what came back, a line each."""
    return [f"{asked}\t{' '.join(said) if isinstance(said, list) else said}" for asked, said in found.items()]


def _asked(call: Call, what: str, back: str, items: Sequence[str], **why: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in _parts(items):
        found |= call(FUNCTION, **{what: part, **why})[back]
    return found


def _parts(items: Sequence[str]) -> Iterator[list[str]]:
    """Take items once each, as many as one call may ask for."""
    once = list(dict.fromkeys(items))
    for start in range(0, len(once), MOST):
        yield once[start : start + MOST]
