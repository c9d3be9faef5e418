"""Account for a past day: have it counted again, and tell each shard's sum and every gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clients.operations.functions import Call

FUNCTION = "rivermill-conserve"
COLUMNS = ("receipts", "received", "landed", "quarantined", "duplicates", "counted", "files")


def account(call: Call, day: str | None) -> dict[str, Any]:
    """Have a day proved, yesterday if nobody says which."""
    return call(FUNCTION, **({"day": day} if day else {}))


def lines(proof: dict[str, Any]) -> Iterator[str]:
    """Tell a proof as a table by shard, the curated events, and every gap."""
    yield f"{proof['day']}".ljust(26) + "".join(f"{name:>13}" for name in COLUMNS)
    for shard in proof["shards"]:
        yield f"{shard['shard']:<26}" + "".join(f"{shard[name]:>13,}" for name in COLUMNS)
    for event, found in proof["curated"].items():
        if found["distinct"]:
            yield (
                f"curated.{event:<18}{found['distinct']:>13,} events arrived, "
                f"{found['missing']:,} missing, {found['doubled']:,} doubled"
            )
    yield from (f"GAP  {gap['said']}" for gap in proof["gaps"])
    yield (
        "received = landed + quarantined + duplicate, and as many rows are there"
        if proof["balanced"]
        else (f"{len(proof['gaps'])} gaps: see docs/operations.md")
    )
