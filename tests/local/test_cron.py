"""Schedule expressions. Source: Amazon EventBridge User Guide, its table of example cron expressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from local.cron import Cron, InvalidSchedule, Rate, schedule


def due(expression: str, days: int = 400) -> list[datetime]:
    """Return when an expression is due from 2026-01-01 on, by asking for each minute that could be."""
    cron = schedule(expression)
    assert isinstance(cron, Cron)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = (
        start + timedelta(days=d, hours=h, minutes=m)
        for d in range(days)
        for h in sorted(cron.hours)
        for m in sorted(cron.minutes)
    )
    return [moment for moment in moments if cron.matches(moment)]


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("cron(0 10 * * ? *)", ["2026-01-01 10:00", "2026-01-02 10:00"]),
        ("cron(15 12 * * ? *)", ["2026-01-01 12:15", "2026-01-02 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", ["2026-01-01 18:00", "2026-01-02 18:00", "2026-01-05 18:00"]),
        ("cron(0 8 1 * ? *)", ["2026-01-01 08:00", "2026-02-01 08:00"]),
        ("cron(0/15 * * * ? *)", ["2026-01-01 00:00", "2026-01-01 00:15", "2026-01-01 00:30"]),
        ("cron(0 9 ? * 2#1 *)", ["2026-01-05 09:00", "2026-02-02 09:00"]),
        ("cron(0 0 L * ? *)", ["2026-01-31 00:00", "2026-02-28 00:00"]),
        ("cron(0 0 ? * 6L *)", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("cron(0 0 3W * ? *)", ["2026-01-02 00:00", "2026-02-03 00:00"]),
        ("cron(0 0 1W * ? *)", ["2026-01-01 00:00", "2026-02-02 00:00"]),
        ("cron(0 0 ? * SAT,SUN 2027)", ["2027-01-02 00:00", "2027-01-03 00:00"]),
        ("cron(0 22-1 * * ? *)", ["2026-01-01 00:00", "2026-01-01 01:00", "2026-01-01 22:00", "2026-01-01 23:00"]),
    ],
)
def test_a_cron_expression_is_due_when_the_guide_says(expression: str, first: list[str]) -> None:
    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in due(expression)[: len(first)]] == first


def test_a_rate_says_its_period() -> None:
    assert schedule("rate(5 minutes)") == Rate(timedelta(minutes=5))
    assert schedule("rate(1 day)") == Rate(timedelta(days=1))


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minutes)",
        "rate(5 minute)",
        "rate(0 minutes)",
        "cron(0 3 * * * *)",
        "cron(0 3 ? * ? *)",
        "cron(0 3 * * ?)",
        "cron(61 3 * * ? *)",
        "daily",
        "cron(a 3 * * ? *)",
    ],
)
def test_a_wrong_expression_is_refused_and_shown(expression: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        schedule(expression)

    assert expression in str(refused.value)
