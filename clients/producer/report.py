"""Account for every event that a producer was given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


class Refused(ValueError):
    """An event was not taken; says why, and what would be."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(slots=True)
class Report:
    """Where the events are that were sent, or found on disk: `sent + recovered` is the sum of the other four.

    `accepted` by the stream, `refused` by reason, `spilled` to disk alone, `buffered` in memory or on their way.  What
    it took: requests made, records and bytes accepted, events that throttling or an error held up for another try.
    `unreadable`: events found damaged on disk, and their bytes; they are in no other figure.
    """

    sent: int = 0
    recovered: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    spilled: int = 0
    buffered: int = 0
    requests: int = 0
    records: int = 0
    bytes: int = 0
    throttled: int = 0
    retried: int = 0
    unreadable: int = 0
    unreadable_bytes: int = 0
    last_error: str = ""

    @property
    def imbalance(self) -> int:
        """Count events that are nowhere; 0 unless the producer is wrong."""
        found = self.accepted + self.refused.total() + self.spilled + self.buffered
        return self.sent + self.recovered - found
