"""One scan of a table of units says what the units themselves say."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pytest

from domain.experiment.declaration import Arm, Experiment, Kind, Outcome
from domain.experiment.moments import of_rows
from domain.experiment.readout import read
from domain.experiment.statistics import MEASURES
from domain.experiment.units import FIRST, InvalidUnits, snapshot

SEED = 20260301
DAY = date(2026, 3, 2)
SPENT = Outcome(name="spent", event="purchase", kind=Kind.MEAN, field="amount", lookback_days=7)
BASKET = Outcome(name="basket", event="purchase", kind=Kind.RATIO, field="amount", denominator_event="purchase")
TYPICAL = Outcome(name="typical", event="purchase", kind=Kind.QUANTILE, field="amount", quantile=0.5)
TRIAL = Experiment(name="trial", arms=(Arm(name="control"), Arm(name="new")), primary=SPENT, secondary=(BASKET,))
COLUMNS = ("spent", "spent_covariate", "basket", "basket_denominator")


def asked(rows: np.ndarray, arms: list[str]) -> Any:
    """Put rows of COLUMNS into a table `units`, and give what asks about it."""
    engine = duckdb.connect()
    engine.execute(f"CREATE TABLE units (arm VARCHAR, {', '.join(f'{name} DOUBLE' for name in COLUMNS)})")
    known = [
        (arm, *(None if np.isnan(value) else value for value in row))
        for arm, row in zip(arms, rows.tolist(), strict=True)
    ]
    engine.executemany("INSERT INTO units VALUES (?, ?, ?, ?, ?)", known)
    return lambda sql: engine.sql(sql).fetchall()


def test_what_is_scanned_is_what_the_rows_say_also_far_from_nought() -> None:
    chance = np.random.default_rng(SEED)
    rows = chance.normal(1e8, 1.0, (600, 4))
    arms = ["control", "new", "gone"] * 200
    found = snapshot(asked(rows, arms), "units", TRIAL, DAY)
    assert found.arm_to_units == {"control": 200, "new": 200}
    for outcome, columns in {"spent": (0, None, 1), "basket": (2, 3, None)}.items():
        for place, arm in enumerate(("control", "new")):
            of = rows[place::3]
            truth = of_rows(MEASURES, np.column_stack([np.zeros(200) if at is None else of[:, at] for at in columns]))
            moments = found.arms(outcome)[arm].moments
            np.testing.assert_allclose(moments.mean, truth.mean, rtol=1e-15)
            np.testing.assert_allclose(moments.product, truth.product, rtol=1e-9, atol=1e-6)


def test_a_table_in_order_whose_first_units_are_unlike_the_others_keeps_its_variance() -> None:
    """About the first rows' noughts a mean of 1e8 left no digit of a variance of one: it was read as none at all."""
    chance = np.random.default_rng(SEED)
    rows = np.vstack([np.zeros((FIRST, 4)), chance.normal(1e8, 1.0, (400, 4))])
    arms = [*["control"] * FIRST, *["new"] * 400]
    found = snapshot(asked(rows, arms), "units", TRIAL, DAY).arms("spent")["new"].moments
    truth = of_rows(MEASURES, np.column_stack([rows[FIRST:, 0], np.zeros(400), rows[FIRST:, 1]]))
    np.testing.assert_allclose(found.product, truth.product, rtol=1e-9, atol=1e-6)


def test_a_unit_without_a_value_did_nothing_and_one_without_a_number_is_not_estimable() -> None:
    rows = np.array([[np.nan, 1, 2, 1], [4, 2, 3, 1], [1, 0, 2, 2], [3, 1, 4, 1]], float)
    found = snapshot(asked(rows, ["control", "control", "new", "new"]), "units", TRIAL, DAY)
    assert found.arms("spent")["control"].moments.of("value") == 2.0
    rows[3, 2] = np.inf
    reading = read(TRIAL, [snapshot(asked(rows, ["control", "control", "new", "new"]), "units", TRIAL, DAY)])
    assert "not estimable" in reading.of("basket", "new").reading.why
    assert reading.of("spent", "new").reading.is_estimable


def test_a_quantile_is_refused_since_units_do_not_hold_it() -> None:
    trial = Experiment(name="trial", arms=TRIAL.arms, primary=TYPICAL)
    with pytest.raises(InvalidUnits, match="typical"):
        snapshot(lambda _: [], "units", trial, DAY)
