"""Take requests to erase people: from here on they are denied, and nothing here or later writes who they are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from domain import metrics
from domain.privacy import audit
from domain.privacy.domains import USER, is_token, one
from domain.privacy.keyring import TOKENS, UNITS, KeyUnavailable
from domain.text import is_text
from lambdas.privacy import stored
from lambdas.privacy.erasures import Erasures
from lambdas.privacy.people import MOST_SEALED, People, named, plain
from lambdas.privacy.settings import RequestSettings

if TYPE_CHECKING:
    from lambdas.keys import Warm

MOST = 100
"""People in one request, and in one job."""

LONGEST = 512
"""Bytes of UTF-8; the contract lets 128 characters in.  Their tokens of some versions are sealed too."""

RESTORE = "what people are called by it cannot be found: restore it or take its mark off, and ask again"

settings = cache(RequestSettings.read)
client = cache(boto3.client)


class Unusable(ValueError):
    """A request that cannot be taken: names the field, its value and what is allowed."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Enter `{"subjects": [who, …], "who": asker}`, tell of `{"digests": […]}`, or just see that work goes on."""
    erasures = Erasures(client("dynamodb"), settings().erasures)
    now = datetime.now(timezone.utc)
    try:
        requests = entered(erasures, checked(event.get("subjects", [])), str(event.get("who", "")), now)
    except Unusable as unusable:
        return {"refused": {"field": "subjects", "value": audit.WITHHELD, "fix": str(unusable)}}
    except KeyUnavailable as missing:
        return {"refused": {"field": "keys", "value": audit.WITHHELD, "fix": f"{missing}; {RESTORE}"}}
    if not requests:  # the schedule's hourly look, too
        watch(erasures, now)
    told = requests or [erasures.standing(digest) | {"subject": digest} for digest in event.get("digests", [])]
    return {"requests": told, "execution": started(erasures, now) if "digests" not in event else None}


def checked(subjects: Any) -> Sequence[str]:
    """Check who is asked for; what is wrong is said without saying who."""
    if not isinstance(subjects, list) or len(subjects) > MOST:
        raise Unusable(f"a list of at most {MOST} subjects")
    for place, subject in enumerate(subjects):
        if not isinstance(subject, str) or not 0 < len(subject.encode("utf-8", "replace")) <= LONGEST:
            raise Unusable(f"subject {place} must be text of 1 to {LONGEST} bytes of UTF-8")
        if not is_text(subject) or not one(subject, USER):
            raise Unusable(f"subject {place} must be text of whole characters, and not of white space alone")
    return subjects


def entered(erasures: Erasures, subjects: Sequence[str], who: str, now: datetime) -> list[dict[str, Any]]:
    """Enter each request once, and say how it stands."""
    if not subjects:
        return []
    people = People(client("kms"), settings().erasure_key, erasures)
    key, due = people.digests_key(), now + timedelta(days=int(settings().erasure_max_days))
    names = [meant(subject) for subject in subjects]
    asked = [named(key, name, tokens(name)) for name in names]
    for place, person in enumerate(asked):
        if len(plain(person)) > MOST_SEALED:
            raise Unusable(f"subject {place} is too long in all its spellings: {MOST_SEALED} bytes at most")
    told = []
    for person, name in zip(asked, names, strict=True):
        is_new = erasures.request(person.digest, people.seal(person), now, due)
        facts = {"subject": person.digest, "is_new": is_new, "is_like_a_token": is_token(name)}
        told.append(erasures.standing(person.digest) | facts)
    digests = tuple(str(each["subject"]) for each in told)
    print(audit.line(audit.Act.ERASURE, who=who, at=now, subjects=digests))
    return told


def watch(erasures: Erasures, now: datetime) -> None:
    """Count what is late of all that is not done, and how near the oldest is to its due date."""
    lock = erasures.lock()
    open_still = {*erasures.waiting(), *(erasures.members(lock.job) if lock else ())}
    standing = [found for digest in open_still if (found := erasures.standing(digest)).get("state") != "erased"]
    spans = [(datetime.fromisoformat(each["at"]), datetime.fromisoformat(each["due"])) for each in standing]
    metrics.ERASURES_OVERDUE.emit(sum(due < now for _, due in spans))
    metrics.ERASURE_TIME.emit(max((100 * (now - at) / (due - at) for at, due in spans), default=0.0))


def meant(subject: str) -> str:
    """Say who is asked for: with privacy on, a token stands for somebody."""
    return stored.meant(subject, keys().ring()) if settings().keys else subject


def tokens(subject: str) -> Sequence[str]:
    """Give what the person is called where they rest, if privacy is on: in tables, and among decisions."""
    if not settings().keys:
        return ()
    ring = keys().ring()
    return (*stored.tokens_of(subject, ring), *stored.unit_of(subject, ring))


@cache
def keys() -> Warm:
    """Open the keys, once for a warm process."""
    from lambdas.keys import warm  # noqa: PLC0415  # with its layer, only where privacy is on

    return warm(client("dynamodb"), client("kms"), settings(), purposes=(TOKENS, UNITS))


def started(erasures: Erasures, now: datetime) -> str | None:
    """Start an execution if there is work; one that finds another at work waits for its turn."""
    if not erasures.lock() and not erasures.waiting(1):
        return None
    name = f"erase-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    answer = client("stepfunctions").start_execution(
        stateMachineArn=settings().machine, name=name, input=json.dumps({})
    )
    return str(answer["executionArn"])
