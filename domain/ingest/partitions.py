"""Decide whether a topic should have more partitions: doubled while its consumer lags, never lowered."""

from __future__ import annotations

from dataclasses import dataclass


class InvalidBounds(ValueError):
    """Bounds that no topic can keep: names the field, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The partitions wanted, or None to leave them, and why; `starved` if the lag asks for more than may be had."""

    target: int | None
    reason: str
    starved: bool = False


def decide(partitions: int, most: int, *, lags: bool, fails: bool) -> Decision:
    """Decide the count of partitions, asked no more often than a consumer takes to catch up with the last doubling.

    `lags`: the consumer is far behind its topic.  `fails`: its function fails, for which no partition is a remedy.

    >>> decide(4, 16, lags=True, fails=False).target, decide(12, 16, lags=True, fails=False).target
    (8, 16)
    >>> decide(16, 16, lags=True, fails=False)
    Decision(target=None, reason='16 partitions lag, and are as many as may be', starved=True)
    """
    if most < 1:
        raise InvalidBounds(f"most is {most}; allowed: at least 1")
    if not lags:
        return Decision(None, f"{partitions} partitions keep up")
    if fails:
        return Decision(None, f"{partitions} partitions lag since their consumer fails: mend it")
    if partitions >= most:
        return Decision(None, f"{partitions} partitions lag, and are as many as may be", starved=True)
    return Decision(min(2 * partitions, most), f"{partitions} partitions lag")
