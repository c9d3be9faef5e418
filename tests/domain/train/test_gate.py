from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.train.gate import DEMANDS, SPLITS, Evidence, Interval, refusals, shortages

ENOUGH = {"train": 5_000, "calibrate": 1_000, "test": 1_000}
SOME = {"train": 500, "calibrate": 100, "test": 100}


def around(value: float, half: float = 0.01) -> Interval:
    return Interval(value - half, value, value + half)


def any_evidence() -> Evidence:
    return Evidence(
        gain_over_trivial=around(0.1),
        gain_over_champion=around(0.05),
        auc_over_champion=around(0.03),
        calibration_error=around(0.02),
    )


def test_a_dataset_that_is_large_enough_and_has_both_classes_will_do() -> None:
    assert shortages(ENOUGH, SOME) == []


def test_an_empty_dataset_is_nothing_to_train_on() -> None:
    nothing = dict.fromkeys(SPLITS, 0)

    assert shortages(nothing, nothing) == ["there is nothing to train on: the dataset has no rows"]
    assert shortages({}, {}) == ["there is nothing to train on: the dataset has no rows"]


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_that_is_too_small_is_named_with_both_numbers(split: str) -> None:
    few = DEMANDS.rows[split] - 1

    assert shortages({**ENOUGH, split: few}, SOME) == [f"{split}: {few} rows, at least {few + 1} are needed"]


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_that_lacks_a_class_is_named(split: str) -> None:
    assert shortages(ENOUGH, {**SOME, split: 0}) == [f"{split}: 0 rows with a purchase, at least 20 are needed"]
    assert shortages(ENOUGH, {**SOME, split: ENOUGH[split]}) == [
        f"{split}: 0 rows without a purchase, at least 20 are needed"
    ]


@given(st.fixed_dictionaries({s: st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)) for s in SPLITS}))
def test_more_of_everything_never_makes_a_dataset_fall_short(counts: Any) -> None:
    rows = {split: yes + no for split, (yes, no) in counts.items()}
    positives = {split: yes for split, (yes, _) in counts.items()}
    more_rows = {split: count + 1_000 for split, count in rows.items()}
    more_positives = {split: count + 500 for split, count in positives.items()}

    if not shortages(rows, positives):
        assert not shortages(more_rows, more_positives)


def test_a_better_and_calibrated_model_passes() -> None:
    assert refusals(any_evidence()) == []


def test_a_model_no_better_than_a_constant_is_refused() -> None:
    reasons = refusals(replace(any_evidence(), gain_over_trivial=around(0.005)))

    assert reasons == [
        "not better than a constant: log loss gain 0.0050 [-0.0050, 0.0150] must lie wholly above 0",
    ]


def test_a_model_whose_gain_over_the_champion_could_be_noise_is_refused() -> None:
    reasons = refusals(replace(any_evidence(), gain_over_champion=around(0.005)))

    assert reasons == [
        "not better than the champion: log loss gain 0.0050 [-0.0050, 0.0150] must lie wholly above 0",
    ]


def test_a_model_equal_to_the_champion_is_refused() -> None:
    same = Interval(0.0, 0.0, 0.0)

    reasons = refusals(replace(any_evidence(), gain_over_champion=same, auc_over_champion=same))

    assert [reason.split(":")[0] for reason in reasons] == ["not better than the champion"]


def test_a_model_that_certainly_ranks_worse_is_refused() -> None:
    reasons = refusals(replace(any_evidence(), auc_over_champion=around(-0.02)))

    assert reasons == [
        "ranks worse than the champion: AUC difference -0.0200 [-0.0300, -0.0100] lies wholly below 0",
    ]


def test_a_model_that_is_certainly_miscalibrated_is_refused() -> None:
    reasons = refusals(replace(any_evidence(), calibration_error=around(0.08)))

    assert reasons == [
        "miscalibrated: expected calibration error 0.0800 [0.0700, 0.0900] lies wholly above 0.05",
    ]


def test_what_cannot_be_known_is_refused() -> None:
    unknown = Interval(float("nan"), float("nan"), float("nan"))

    reasons = refusals(
        Evidence(
            gain_over_trivial=unknown, gain_over_champion=unknown, auc_over_champion=unknown, calibration_error=unknown
        )
    )

    assert len(reasons) == 3


def test_an_interval_without_ends_is_null_in_json() -> None:
    assert Interval(float("nan"), 0.5, float("nan")).as_json() == {"value": 0.5, "low": None, "high": None}
