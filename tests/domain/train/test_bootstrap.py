from __future__ import annotations

from math import erf

import numpy as np
import pytest

from domain.train import bootstrap, measures
from domain.train.bootstrap import intervals, redraws
from domain.train.gate import DEMANDS, Interval
from domain.train.measures import Array

RUNS = 300
SEED = 20261122


def test_a_redraw_takes_all_rows_of_a_user_or_none() -> None:
    users = np.array(["a", "b", "a", "c", "b", "a"])

    weights = np.concatenate(list(redraws(users, 50, np.random.default_rng(SEED))))

    assert weights.shape == (50, 6)
    assert (weights[:, [0, 2, 5]].std(axis=1) == 0).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()  # three users are drawn, some of them twice


def test_the_same_seed_draws_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    users = np.arange(100)
    whole = np.concatenate(list(redraws(users, 30, np.random.default_rng(SEED))))

    monkeypatch.setattr(bootstrap, "CELLS", 700)
    blocks = list(redraws(users, 30, np.random.default_rng(SEED)))

    assert len(blocks) == 5
    assert (np.concatenate(blocks) == whole).all()


@pytest.mark.slow
def test_nineteen_of_twenty_intervals_of_the_auc_hold_the_truth() -> None:
    # Two normal distributions one apart: AUC = P(x > y) = Phi(1 / sqrt(2)).
    truth = 0.5 * (1 + erf(1 / 2))
    random = np.random.default_rng(SEED)

    held = 0
    for run in range(RUNS):
        labels = (np.arange(300) % 3 == 0).astype(int)
        scores = random.normal(size=300) + labels
        found = interval_of_auc(scores, labels, np.arange(300), run)
        held += found.low <= truth <= found.high

    assert 0.92 <= held / RUNS <= 0.98  # 0.95 within two and three quarters of its standard errors


def test_intervals_hold_the_truth_although_users_repeat_themselves_where_drawing_rows_does_not() -> None:
    # Each user's five rows are nearly one: only a tenth of the variance is within a user.
    random = np.random.default_rng(SEED)
    users = np.repeat(np.arange(80), 5)
    by_user = by_row = 0
    for run in range(RUNS):
        values = np.repeat(random.normal(size=80), 5) + random.normal(scale=1 / 3, size=400)
        mean = {"mean": lambda weights, values=values: weights @ values / weights.sum(axis=1)}
        clustered = intervals(mean, users, seed=run, draws=300)["mean"]
        naive = intervals(mean, np.arange(400), seed=run, draws=300)["mean"]
        by_user += clustered.low <= 0 <= clustered.high
        by_row += naive.low <= 0 <= naive.high

    assert 0.91 <= by_user / RUNS <= 0.98
    assert by_row / RUNS < 0.75


def test_equal_models_are_seldom_called_different() -> None:
    # The gate asks that the whole interval lies above 0: a one-sided test at 2.5 %.
    random = np.random.default_rng(SEED)
    passed = 0
    for run in range(RUNS):
        truth = random.random(300)
        labels = (random.random(300) < truth).astype(int)
        one, other = (np.clip(truth + random.normal(scale=0.1, size=300), 0.01, 0.99) for _ in range(2))
        found = intervals({"gain": gain(one, other, labels)}, np.arange(300), seed=run, draws=300)["gain"]
        passed += found.low > 0

    assert passed / RUNS <= 0.05


def test_the_gate_seldom_calls_a_calibrated_model_miscalibrated_even_on_the_fewest_rows_it_takes() -> None:
    rows = DEMANDS.rows["test"]
    lows = [low_of_calibration_error(rows, 0.0, run) for run in range(200)]

    assert np.mean(np.array(lows) > DEMANDS.calibration_error) <= 0.05


def test_the_gate_finds_a_model_that_is_a_tenth_off() -> None:
    lows = [low_of_calibration_error(2_000, 0.1, run) for run in range(20)]

    assert np.mean(np.array(lows) > DEMANDS.calibration_error) >= 0.95


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    random = np.random.default_rng(SEED)
    truth = random.random(500)
    labels = (random.random(500) < truth).astype(int)
    better, worse = np.clip(truth, 0.02, 0.98), np.clip(truth + random.normal(scale=0.15, size=500), 0.02, 0.98)
    estimators = {
        "better": lambda w: measures.log_loss(better, labels, w),
        "worse": lambda w: measures.log_loss(worse, labels, w),
        "gain": gain(worse, better, labels),
    }

    found = intervals(estimators, np.arange(500), seed=SEED)

    assert found["better"].high > found["worse"].low  # apart, the two could be equal
    assert found["gain"].low > 0


def test_what_no_draw_can_say_has_no_ends() -> None:
    labels = np.zeros(10, dtype=int)

    found = interval_of_auc(np.linspace(0, 1, 10), labels, np.arange(10), SEED)

    assert np.isnan([found.low, found.estimate, found.high]).all()


def interval_of_auc(scores: Array, labels: Array, users: Array, seed: int) -> Interval:
    return intervals({"auc": lambda w: measures.auc(scores, labels, w)}, users, seed=seed, draws=300)["auc"]


def gain(more: Array, less: Array, labels: Array) -> bootstrap.Estimator:
    return lambda w: measures.log_loss(more, labels, w) - measures.log_loss(less, labels, w)


def low_of_calibration_error(rows: int, shift: float, seed: int) -> float:
    random = np.random.default_rng([SEED, seed])
    rates = random.beta(1, 4, rows)
    labels = (random.random(rows) < rates).astype(int)
    error = {"error": lambda w: measures.calibration_error(rates + shift, labels, w)}
    return intervals(error, np.arange(rows), seed=seed, draws=300, distances=["error"])["error"].low
