"""Experiments that never were, as the lake's table of statistics would hold them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from domain.experiment.declaration import Experiment, Kind, Outcome
from domain.experiment.histogram import of_values
from domain.experiment.moments import of_rows
from domain.experiment.statistics import MEASURES, Summary, as_row

START = date(2026, 3, 2)
Row = dict[str, Any]


def summed(outcome: Outcome, orders: np.ndarray, amounts: np.ndarray, before: np.ndarray) -> Row:
    """Sum up units' orders, amounts and earlier amounts as the job does."""
    nothing = np.zeros(len(orders))
    value, below = {
        Kind.PROPORTION: (np.minimum(orders, 1), nothing),
        Kind.MEAN: (amounts, nothing),
        Kind.COUNT: (orders, nothing),
        Kind.RATIO: (amounts, orders),
        Kind.QUANTILE: (orders, nothing),
    }[outcome.kind]
    covariate = before if outcome.lookback_days else nothing
    counted = of_values(amounts[orders > 0] / orders[orders > 0]) if outcome.kind is Kind.QUANTILE else None
    rows = np.column_stack([value, below, covariate]).astype(float)
    return as_row(Summary(of_rows(MEASURES, rows), counted))


def simulated(
    seed: int,
    effect: float,
    experiment: Experiment,
    *,
    days: int = 7,
    a_day: int = 400,
    share: float = 0.5,
) -> list[Row]:
    """Let units come for some days and be read each evening; the arms after the control multiply orders."""
    random, known, rows = np.random.default_rng(seed), list[Row](), list[Row]()
    for day in (START + timedelta(days=number) for number in range(days)):
        arms = len(experiment.arms)
        shares = [1 - share, *[share / (arms - 1)] * (arms - 1)]
        for place, (arm, count) in enumerate(zip(experiment.arms, random.multinomial(a_day, shares), strict=True)):
            kind = random.gamma(2, 0.5, count)
            orders = random.poisson(kind * (1 + effect * (place > 0))).astype(float)
            figures = orders, orders * random.lognormal(3, 0.2, count), random.poisson(3 * kind) * 20.0
            key = {"day": day.isoformat(), "arm": arm.name, "slice": "all"}
            known.append({**key, "outcome": None, "count": count})
            known += [{**key, "outcome": o.name, **summed(o, *figures)} for o in experiment.outcomes]
        rows += [{**row, "as_of": day} for row in known]
    return rows
