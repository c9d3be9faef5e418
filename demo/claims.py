"""Hold what the platform says against what the sender knows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from demo.account import Account

ENDPOINT_TOLERANCE = 1e-9
SHARE_OF_BEST = 0.97
MISSED = 0.05  # of a release's answers may lie farther from the truth than they say
NEVER = 1e-6  # sound noise breaks a claim about it less often
DIGITS = 1e-9


@dataclass(frozen=True, slots=True)
class Claim:
    """What is claimed, the figure measured, and whether it holds."""

    claim: str
    figure: str
    holds: bool

    def as_row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def about_records(account: Account, accepted: int) -> Iterator[Claim]:
    """Claim that no record is lost on the way in."""
    settled, duplicates = account.settled, account.duplicates
    yield Claim(
        "received = landed + quarantined + duplicate delivery",
        f"{account.received:,} = {account.landed.total():,} + {account.quarantined.total():,} + {duplicates:,}",
        account.balanced,
    )
    yield Claim("every event that the stream took is settled once", f"{settled:,} of {accepted:,}", settled == accepted)


def about_curated(sent: Mapping[str, int], rows: Mapping[str, int], distinct: Mapping[str, int]) -> Iterator[Claim]:
    """Claim that each valid event that was sent is in the curated tables, once."""
    expected, kept, different = sum(sent.values()), sum(rows.values()), sum(distinct.values())
    same = {event: count for event, count in distinct.items() if count} == dict(sent)
    yield Claim(
        "distinct curated events = distinct valid events sent, event by event", f"{different:,} of {expected:,}", same
    )
    yield Claim("no curated event is there twice", f"{kept:,} rows, {different:,} events", kept == different)


def about_model(auc: float, best: float | None, difference: float) -> Iterator[Claim]:
    """Claim that the model is near the best possible, and that the endpoint answers what was validated."""
    if best is not None:
        figure = f"{auc:.4f} of {best:.4f}: {auc / best:.1%}"
        claim = f"AUC on unseen users is at least {SHARE_OF_BEST:.0%} of the best possible"
        yield Claim(claim, figure, auc >= SHARE_OF_BEST * best)
    yield Claim(
        f"endpoint = offline scores to {ENDPOINT_TOLERANCE:.0e}",
        f"largest difference {difference:.1e}",
        difference <= ENDPOINT_TOLERANCE,
    )


def about_anonymized(table: Mapping[str, Any], many: bool) -> Iterator[Claim]:
    """Claim that nobody stands alone in what was published: counted again from its files by another program."""
    claim = "each published person is one of k, and their groups are diverse and like all people"
    if "refused" in table:
        if many:
            yield Claim(claim, table["refused"], holds=False)
        return
    report = table["report"]
    gone = (report["suppressed"] + report["left_out"]) / max(1, report["people"] + report["left_out"])
    for field, found in table["checked"].items():
        wanted = table["wanted"][field]
        held = found["k"] >= table["k"] and found["diverse"] >= wanted["diverse"] - DIGITS
        figure = (
            f"k = {found['k']} of {table['k']}, l = {found['diverse']:.2f} of {wanted['diverse']:g}, "
            f"t = {found['close']:.3f} of {wanted['close']:g} for {field}, in {found['groups']:,} groups"
        )
        # Who is left out is among all people, and not in the files.
        yield Claim(claim, figure, held and found["close"] <= wanted["close"] + gone + DIGITS)
    before, after = (report[when]["prosecutor"]["highest"] for when in ("before", "after"))
    yield Claim("nobody is found with more than a chance of 1 in k", f"{before:.3g}, then {after:.3g}", _safe(table))


def _safe(table: Mapping[str, Any]) -> bool:
    highest = table["report"]["after"]["prosecutor"]["highest"]
    return bool(highest <= 1 / table["k"] + DIGITS)


def about_released(answers: Mapping[str, Any]) -> Iterator[Claim]:
    """Claim that errors are as they were stated, that the same costs nothing, and that nobody spends too much."""
    judged = [row["within"] for row in answers["rows"] if row["within"] is not None]
    least = enough(len(judged))
    figure = f"{sum(judged)} of {len(judged)}; {least} is the least that chance allows"
    yield Claim(
        "95 of 100 private answers lie within the error that they state", figure, sum(judged) >= least and any(judged)
    )
    before, after, again = answers["left"]
    yield Claim(
        "a private question asked again gets the same answer and costs nothing",
        f"{before:g}, then {after:g}, then {again:g} left of {answers['of']:g}",
        bool(answers["same"] and answers["free"] and before > after == again),
    )
    yield Claim("what the budget has not left is refused", answers["refusal"], bool(answers["refusal"]))


def enough(answers: int) -> int:
    """Say how many answers must lie within their error, if each misses it once in twenty.

    >>> enough(20), enough(40)
    (12, 29)
    """
    chance, missed = 1.0, 0
    while missed < answers:
        term = math.comb(answers, missed) * MISSED**missed * (1 - MISSED) ** (answers - missed)
        chance -= term
        if chance < NEVER:
            break
        missed += 1
    return answers - missed
