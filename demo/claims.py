"""Hold what the platform says against what the sender knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from demo.account import Account

ENDPOINT_TOLERANCE = 1e-9
SHARE_OF_BEST = 0.97


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
