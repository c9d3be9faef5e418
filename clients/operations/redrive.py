"""Redrive what was set aside: ask again until nothing is left, and tell what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from clients.operations.functions import Call

FUNCTION = "rivermill-redrive"
COUNTED = ("good", "still_bad", "redriven_before", "sent")


def redrive(call: Call, reason: str | None, start: str | None, end: str | None, dry: bool) -> dict[str, Any]:
    """Redrive all that a reason and a time select; one call does as much as its time allows."""
    event = {"reason": reason, "from": start, "to": end, "send": not dry}
    told = call(FUNCTION, **event)
    sums: dict[str, Counter[str]] = {name: Counter(told[name]) for name in COUNTED}
    failed, more = told["failed"], told["more"]
    while more and not dry and told["sent"]:
        told = call(FUNCTION, **event)
        sums["good"].update(told["good"])
        sums["sent"].update(told["sent"])
        failed, more = told["failed"], told["more"]
    return {**told, **sums, "failed": failed, "more": more}


def lines(told: dict[str, Any]) -> Iterator[str]:
    """Tell a redrive as a table by reason, and what it could not do."""
    heads = ("reason", "would pass" if not told["sending"] else "passed", "sent", "still broken", "redriven before")
    yield "{:<18}{:>12}{:>12}{:>14}{:>17}".format(*heads)
    shown = ("good", "sent", "still_bad", "redriven_before")
    for reason in sorted({reason for name in shown for reason in told[name]}):
        yield f"{reason:<18}" + "".join(
            f"{told[name].get(reason, 0):>{width},}" for name, width in zip(shown, (12, 12, 14, 17), strict=True)
        )
    if told["failed"]:
        yield f"the stream did not take {told['failed']:,}: redrive again"
    for lost in told["lost"]:
        yield "the stream no longer holds {lost:,} records of {shard} from {first} to {last}".format(**lost)
    if told["more"]:
        yield "time ran out before the end: " + ("the counts are of a part" if not told["sending"] else "redrive again")


def succeeded(told: dict[str, Any]) -> bool:
    """Say whether nothing is left to be done."""
    return not (told["failed"] or told["lost"] or (told["more"] and told["sending"]))
