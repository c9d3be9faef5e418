"""`make plan` asks the lake's past how long an experiment would run, and refuses one that cannot work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from clients.athena import ask_by_column
from clients.readout.plan import lines, main
from domain.experiment.declaration import Arm, Condition, Experiment, Guardrail, Kind, Outcome, Stopping
from domain.experiment.history import History, NoHistory, Window, history, question
from domain.experiment.moments import of_rows
from domain.experiment.planning import advise
from domain.experiment.statistics import MEASURES
from domain.experiments import EXPERIMENTS
from local.cloud import Cloud
from tests.clients.curated import curated

SEED = 20260301
BUCKET = "test-plan"
START = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAYS, USERS = 14, 600
PAST = Window(START + timedelta(days=7), 7)
EVENTS = ("page_view", "purchase", "add_to_cart")
SPENT = Outcome(name="spent", event="purchase", kind=Kind.MEAN, field="amount", cap=80.0, lookback_days=5)
BASKET = Outcome(
    name="basket", event="purchase", kind=Kind.RATIO, field="amount", denominator_event="add_to_cart", lookback_days=3
)
BUYERS = Outcome(name="buyers", event="purchase", kind=Kind.PROPORTION)
TRIAL = Experiment(
    name="trial",
    arms=(Arm(name="control"), Arm(name="new")),
    primary=SPENT,
    guardrails=(Guardrail(outcome=BUYERS, margin=0.9),),
    layer="trial",
    minimum_effect=0.8,
    stopping=Stopping(days=7, looks=7),
)


def any_events() -> dict[str, list[dict[str, Any]]]:
    """Let users come on some of fourteen days, look at a page and, according to their kind, buy."""
    random, found = np.random.default_rng(SEED), {name: list[dict[str, Any]]() for name in EVENTS}
    for user in range(USERS):
        kind = float(random.gamma(2.0, 0.4))
        for day in range(DAYS):
            if random.random() > 0.3:
                continue
            at = START + timedelta(days=day, hours=float(random.uniform(0, 22)))
            said = {"user_id": f"u-{user}", "version": 1, "arrived_at": at, "shard": "s", "sequence": "0"}
            page = {"page": "/", "device": "mobile", "country": "DE" if user % 3 else "FR", "referrer": None}
            found["page_view"].append({**said, **page, "event_id": f"p-{user}-{day}", "event_time": at})
            for number in range(random.poisson(kind)):
                then = at + timedelta(minutes=1 + number)
                order = {"order_id": "o", "items": 1, "amount": float(random.lognormal(3, 0.5)), "currency": "EUR"}
                cart = {"product_id": "p", "quantity": 1, "price": 1.0}
                named = {"event_id": f"e-{user}-{day}-{number}", "event_time": then}
                found["purchase"].append({**said, **order, **named})
                found["add_to_cart"].append({**said, **cart, **named})
    return found


@pytest.fixture(scope="module")
def lake(cloud: Cloud) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """The three curated tables that the plans ask, with what is in them."""
    events = any_events()
    with curated(cloud, BUCKET, {name: events[name] for name in EVENTS}):
        yield events


@pytest.fixture(autouse=True)
def account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(EXPERIMENTS, TRIAL.name, TRIAL)


def by_hand(events: dict[str, list[dict[str, Any]]], outcome: Outcome, countries: tuple[str, ...]) -> History:
    """Walk through the events one by one."""
    came: dict[str, datetime] = {}
    for page in sorted(events["page_view"], key=lambda row: row["event_time"]):
        if PAST.start <= page["event_time"] < PAST.end and page["country"] in countries:
            came.setdefault(page["user_id"], page["event_time"])
    rows = []
    for user, at in came.items():
        mine = {name: [row for row in events[name] if row["user_id"] == user] for name in EVENTS}
        after = [row["amount"] for row in mine["purchase"] if at < row["event_time"] < PAST.end]
        early = at - timedelta(days=outcome.lookback_days)
        before = [row["amount"] for row in mine["purchase"] if early <= row["event_time"] < at]
        carts = [row for row in mine["add_to_cart"] if at < row["event_time"] < PAST.end]
        cap = outcome.cap or float("inf")
        value = float(bool(after)) if outcome.kind is Kind.PROPORTION else min(sum(after), cap)
        covariate = min(sum(before), cap) if outcome.lookback_days else 0.0
        rows.append([value, float(len(carts)) if outcome.kind is Kind.RATIO else 0.0, covariate])
    newcomers = [sum((at - PAST.start).days == day for at in came.values()) for day in range(PAST.days)]
    return History(outcome, newcomers, of_rows(MEASURES, np.array(rows)))


@pytest.mark.slow
@pytest.mark.parametrize("outcome", [SPENT, BASKET, BUYERS], ids=lambda outcome: outcome.name)
def test_the_past_is_what_walking_through_its_events_finds(lake: Any, outcome: Outcome) -> None:
    experiment = replace(TRIAL, eligibility=(Condition(key="country", values=("DE",)),))

    found = history(outcome, ask_by_column(question(experiment, outcome, PAST)), PAST.days)

    expected = by_hand(lake, outcome, ("DE",))
    assert found.newcomers == expected.newcomers
    assert found.moments.count == expected.moments.count > 300
    assert found.moments.mean == pytest.approx(expected.moments.mean, rel=1e-9)
    assert found.moments.product == pytest.approx(expected.moments.product, rel=1e-9)
    assert found.sample.variance == pytest.approx(expected.sample.variance, rel=1e-9)


@pytest.mark.slow
def test_a_plan_that_can_work_is_told_with_what_each_design_costs(
    lake: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--experiment", TRIAL.name]) == 0

    said = capsys.readouterr().out
    assert "trial: spent was" in said
    assert "its covariate of 5 days explains" in said
    assert "group_sequential*" in said
    assert "always_valid" in said
    assert "guardrail buyers:" in said
    assert said.rstrip().endswith("the plan can work")


@pytest.mark.slow
def test_a_plan_that_cannot_work_is_refused_with_why_and_the_fixes(
    lake: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXPERIMENTS, TRIAL.name, replace(TRIAL, minimum_effect=0.01))

    assert main(["--experiment", TRIAL.name]) == 1

    said = capsys.readouterr().out
    assert "cannot work: stopping.days is 7: 1.0% of spent is found with power 80% after over 365 days" in said
    assert "minimum_effect=" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--experiment", "none"], "is not declared"),
        (["--experiment", "trial", "--until", "soon"], "until is 'soon'; give a day"),
        (["--experiment", "trial", "--until", "2026-03-01"], "leaves no day before 2026-03-01"),
    ],
)
def test_what_cannot_be_asked_of_the_past_is_said(
    lake: Any, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    assert said in capsys.readouterr().err


def test_a_quantile_is_not_planned_from_moments() -> None:
    typical = Outcome(name="typical", event="purchase", kind=Kind.QUANTILE, field="amount", quantile=0.5)

    with pytest.raises(NoHistory, match="'typical' is a quantile"):
        question(TRIAL, typical, PAST)


def test_a_week_without_anybody_new_is_told_in_words() -> None:
    rows = np.random.default_rng(SEED).normal(10, 30, (400, len(MEASURES)))
    known = {each.name: History(each, [40] * 7 + [0] * 7, of_rows(MEASURES, rows)) for each in TRIAL.outcomes}
    said = "\n".join(lines(advise(replace(TRIAL, minimum_effect=0.01), known)))

    assert "no number of" in said
    assert "cannot work" in said
    assert not re.search(r"\b(inf|nan)\b", said)
