"""Turn tokens back, and values into tokens, for a purpose that is written down; nobody but the steward may ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from hashlib import sha256
from typing import Any

import boto3
import pyarrow as pa

from domain.privacy import audit, sealing, tokens
from domain.privacy.domains import DOMAINS, USER, Domain
from domain.privacy.keyring import PROTECTING, TOKENS, UNITS, Keyring, KeyUnavailable
from domain.privacy.siv import NotAuthentic
from domain.privacy.spelling import NotSpelled
from domain.privacy.units import called
from domain.text import is_text
from lambdas.keys import Warm, warm
from lambdas.privacy.settings import DetokenizeSettings

MOST = 1_000
"""Values a request: a table is not turned back by asking in a loop, which the audit would show line by line."""

LEAST_PURPOSE = 8  # characters, so that it says something
ASKED = ("tokens", "values", "units", "sealed")
FIELDS = (*ASKED, "domain", "purpose", "who")
UNREADABLE = (NotSpelled, NotAuthentic)

settings = cache(DetokenizeSettings.read)
client = cache(boto3.client)


class Refused(ValueError):
    """A request that is not done: names the field and the fix, and never repeats a value."""

    def __init__(self, field: str, fix: str) -> None:
        super().__init__(f"{field}: {fix}")
        self.field, self.fix = field, fix


@cache
def keys() -> Warm:
    """Open the keys, once for a warm process."""
    return warm(client("dynamodb"), client("kms"), settings(), purposes=(*PROTECTING, UNITS))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer `{"tokens": […], "domain", "purpose", "who"}` with `{"values": {token: value}}`.

    With "values" in place of "tokens", answer with `{"tokens": {value: [token, …]}}`, the newest first; with "units",
    tokens too, with `{"units": {token: what decisions of experiments call the same person}}`; with "sealed", a list of
    `{"field", "value"}` and, where the subject's own key sealed, "subject", with `{"opened": [value, …]}`.
    """
    try:
        asked = checked(event)
        answer = done(asked, keys().ring())
    except Refused as refused:
        return {"refused": {"field": refused.field, "value": audit.WITHHELD, "fix": refused.fix}}
    except KeyUnavailable as reason:
        return {"refused": {"field": "keys", "value": audit.WITHHELD, "fix": str(reason)}}
    except UNREADABLE as reason:
        return {"refused": {"field": asked["what"], "value": audit.WITHHELD, "fix": str(reason)}}
    told = {"purpose": asked["purpose"], "domain": str(event.get("domain", "")), "values": len(asked["items"])}
    moment = datetime.now(timezone.utc)
    print(
        audit.line(
            audit.Act.REVERSAL, who=asked["who"], at=moment, subjects=digests(answer), what=asked["what"], **told
        )
    )
    return {name: value for name, value in answer.items() if name != "about"}


def checked(event: Mapping[str, Any]) -> dict[str, Any]:
    """Check a request; raise Refused for one without a purpose, or for none of the four things, or for two."""
    if odd := set(event) - set(FIELDS):
        raise Refused(", ".join(sorted(odd)), f"not known; there are {', '.join(FIELDS)}")
    for name in ("purpose", "who"):
        if not isinstance(event.get(name), str) or len(event[name].strip()) < (
            LEAST_PURPOSE if name == "purpose" else 1
        ):
            raise Refused(name, "say why, in eight characters or more" if name == "purpose" else "say who asks")
    what = [name for name in ASKED if name in event]
    if len(what) != 1 or not isinstance(event[what[0]], list) or not 0 < len(event[what[0]]) <= MOST:
        raise Refused("tokens, values, units or sealed", f"give one of them, a list of 1 to {MOST}")
    if what != ["sealed"] and str(event.get("domain")) not in DOMAINS:
        raise Refused("domain", f"one of {', '.join(DOMAINS)}")
    return {"what": what[0], "items": event[what[0]], "purpose": event["purpose"].strip(), "who": event["who"]} | {
        "domain": DOMAINS.get(str(event.get("domain")))
    }


def done(asked: Mapping[str, Any], ring: Keyring) -> dict[str, Any]:
    """Do what is asked, all of it or nothing."""
    if asked["what"] == "sealed":
        return {"opened": [opened(each, ring) for each in asked["items"]], "about": subjects(asked["items"])}
    if not all(isinstance(item, str) and is_text(item) for item in asked["items"]):
        raise Refused(asked["what"], "a list of texts")
    if asked["what"] == "values":
        found = {value: spelled(value, ring, asked["domain"]) for value in asked["items"]}
        return {"tokens": found, "about": [token for some in found.values() for token in some]}
    column = pa.array(asked["items"], pa.string())
    if asked["what"] == "units":
        names = [called(value, ring) for value in tokens.revealed(column, ring, USER).to_pylist()]
        return {"units": dict(zip(asked["items"], names, strict=True)), "about": asked["items"]}
    values = tokens.restored(column, ring, asked["domain"]).to_pylist()
    return {"values": dict(zip(asked["items"], values, strict=True)), "about": asked["items"]}


def opened(item: Mapping[str, Any], ring: Keyring) -> str:
    """Open one sealed value."""
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in ("field", "value")):
        raise Refused("sealed", 'each {"field": "search.query", "value": …}, and its row\'s "subject" if it has one')
    if not item["value"].startswith(sealing.SHREDDABLE):
        return sealing.unsealed(str(item["value"]), ring, item["field"])
    subject, id = str(item.get("subject")), sealing.subject_key_id(item["value"])
    if (key := keys().subjects.find(subject, id, ring)) is None:
        raise KeyUnavailable("the subject's key is gone: what it sealed can never be read again")
    return sealing.unshredded(item["value"], key, item["field"])


def spelled(value: str, ring: Keyring, domain: Domain) -> list[str]:
    """Give a value's tokens under every version of the key, the newest first."""
    column = pa.array([value], pa.string())
    rings = (Keyring.of([ring.version(TOKENS, version)]) for version in ring.versions(TOKENS))
    return [str(tokens.tokenized(column, each, domain)[0].as_py()) for each in rings]


def subjects(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name whose values were opened, as far as it was said."""
    return [str(item["subject"]) for item in items if "subject" in item]


def digests(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Digest tokens for the audit: a token is keyed already, so its digest is not guessed, and tells which it was."""
    return tuple(dict.fromkeys(sha256(each.encode()).hexdigest()[:32] for each in answer["about"]))
