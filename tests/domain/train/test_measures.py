from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from domain.train import curves, measures
from domain.train.measures import Array

SEEDS = range(20)

ORACLES: list[tuple[Callable[[Array, Array, Array], Array], Callable[..., Any]]] = [
    (measures.auc, metrics.roc_auc_score),
    (measures.average_precision, metrics.average_precision_score),
    (measures.log_loss, metrics.log_loss),
    (measures.brier, metrics.brier_score_loss),
]


def any_scores(seed: int, rows: int = 200, distinct: int = 30) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    scores = random.integers(1, distinct, rows) / distinct  # with many ties
    return scores, (random.random(rows) < scores).astype(int)


def once(rows: int) -> Array:
    return np.ones((1, rows))


@pytest.mark.parametrize(("measure", "oracle"), ORACLES, ids=lambda found: found.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_measure_equals_scikit_learns(measure: Any, oracle: Any, seed: int) -> None:
    scores, labels = any_scores(seed)

    assert measure(scores, labels, once(200))[0] == pytest.approx(oracle(labels, scores), abs=1e-12)


@pytest.mark.parametrize(("measure", "oracle"), ORACLES, ids=lambda found: found.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_weights_count_as_scikit_learns_do(measure: Any, oracle: Any, seed: int) -> None:
    scores, labels = any_scores(seed)
    weights = np.random.default_rng(seed).poisson(1.0, (3, 200)).astype(float)

    expected = [oracle(labels, scores, sample_weight=row) for row in weights]

    assert measure(scores, labels, weights) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: Any) -> None:
    scores = np.array([score for score, _ in rows]) / 5
    labels = np.array([label for _, label in rows])
    pairs = [
        1.0 if yes > no else 0.5 if yes == no else 0.0 for yes in scores[labels == 1] for no in scores[labels == 0]
    ]

    found = measures.auc(scores, labels, once(len(rows)))[0]

    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


@given(st.integers(0, 10_000))
def test_a_row_drawn_twice_counts_as_two_rows(seed: int) -> None:
    scores, labels = any_scores(seed, rows=40)
    counts = np.random.default_rng(seed).integers(0, 3, 40)
    repeated = np.repeat(np.arange(40), counts)

    for measure in (measures.auc, measures.average_precision, measures.log_loss, measures.brier):
        weighted = measure(scores, labels, counts[None, :].astype(float))[0]
        assert weighted == pytest.approx(
            measure(scores[repeated], labels[repeated], once(len(repeated)))[0], nan_ok=True
        )


def test_scores_that_are_the_rates_have_hardly_any_calibration_error() -> None:
    random = np.random.default_rng(5)
    scores = random.random(200_000)
    labels = (random.random(200_000) < scores).astype(int)

    assert measures.calibration_error(scores, labels, once(200_000))[0] < 0.005


def test_scores_that_are_a_tenth_too_high_have_a_calibration_error_of_a_tenth() -> None:
    random = np.random.default_rng(5)
    rates = random.random(200_000) * 0.9
    labels = (random.random(200_000) < rates).astype(int)

    assert measures.calibration_error(rates + 0.1, labels, once(200_000))[0] == pytest.approx(0.1, abs=0.005)


def test_a_constant_score_has_one_bin_and_no_rank() -> None:
    labels = np.array([0, 1, 0, 1])
    constant = np.full(4, 0.25)

    assert measures.calibration_error(constant, labels, once(4))[0] == pytest.approx(0.25)
    assert measures.auc(constant, labels, once(4))[0] == 0.5


def test_a_draw_that_lacks_a_class_has_no_auc() -> None:
    weights = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]])

    found = measures.auc(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]), weights)

    assert np.isnan(found[0])
    assert found[1] == 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_roc_encloses_the_auc_in_at_most_200_points(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.random(3_000)
    labels = (random.random(3_000) < scores).astype(int)

    curve = curves.roc(scores, labels)

    area = np.trapezoid([y for _, y in curve], [x for x, _ in curve])
    assert len(curve) <= 200
    assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert area == pytest.approx(metrics.roc_auc_score(labels, scores), abs=0.002)


def test_bins_of_calibration_hold_every_row_once() -> None:
    scores, labels = any_scores(3)

    bins = curves.calibration(scores, labels)

    assert sum(item["n"] for item in bins) == 200
    assert sum(item["n"] * item["rate"] for item in bins) == pytest.approx(labels.sum())
    assert all(item["low"] - 1e-12 <= item["rate"] <= item["high"] + 1e-12 for item in bins)


def test_the_histogram_holds_every_row_once() -> None:
    scores, labels = any_scores(3)

    bins = curves.histogram(scores, labels)

    assert sum(item["bought"] for item in bins) == labels.sum()
    assert sum(item["left"] for item in bins) == 200 - labels.sum()
