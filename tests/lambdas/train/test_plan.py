from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.experiment.declaration import Arm, Experiment
from domain.experiments import BUYERS, EXPERIMENTS
from lambdas.train import plan
from tests.lambdas.train.registry import BASELINE, RUN, any_dataset, enter, put


def planned(dataset: dict[str, Any]) -> dict[str, Any]:
    put(f"training/{RUN}/dataset.json", dataset)
    return plan.handler({"run": RUN, "day": "2026-03-01"}, None)


def test_a_dataset_that_will_do_becomes_a_plan() -> None:
    assert planned(any_dataset()) == {
        "trainable": True,
        "run": RUN,
        "day": "2026-03-01",
        "reason": "",
        "job": "rivermill-daily-2026-03-01",
        "dataset": f"s3://lake/training/{RUN}/dataset.manifest",
        "champion": BASELINE,
        "models": "s3://lake/models/",
        "validation": f"s3://lake/training/{RUN}/validation/",
        "report": f"s3://lake/training/{RUN}/validation/report.json",
        "hyperparameters": {
            "run": RUN,
            "day": "2026-03-01",
            "table": "features.propensity",
            "snapshot": "6871256214523178491",
            "seed": "7",
        },
    }


def test_an_empty_day_has_nothing_to_train_on() -> None:
    found = planned(any_dataset(rows=0, positives=0))

    assert (found["trainable"], found["reason"]) == (False, "there is nothing to train on: the dataset has no rows")


def test_a_dataset_that_is_too_small_is_not_trained_on_and_the_plan_says_why() -> None:
    found = planned(any_dataset(test={"rows": 150, "positives": 3}))

    assert not found["trainable"]
    assert found["reason"] == (
        "test: 150 rows, at least 200 are needed; test: 3 rows with a purchase, at least 20 are needed"
    )


def test_a_dataset_without_a_class_is_not_trained_on() -> None:
    found = planned(any_dataset(train={"rows": 2_000, "positives": 0}))

    assert found["reason"] == "train: 0 rows with a purchase, at least 20 are needed"


def test_the_champion_is_the_newest_approved_model_of_another_run() -> None:
    for run, status in (("a", "Approved"), ("b", "Approved"), ("c", "Rejected"), (RUN, "Approved")):
        enter(run, status)

    assert planned(any_dataset())["champion"] == "s3://lake/models/b.tar.gz"


@given(st.text(min_size=1, max_size=80))
def test_a_job_s_name_is_one_that_sagemaker_takes_with_the_attempt_added(run: str) -> None:
    name = plan.job_name(run)

    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", f"{name}-0")
    assert len(name) <= plan.LONGEST_JOB


def test_runs_that_shorten_alike_have_jobs_of_their_own() -> None:
    names = {plan.job_name(run) for run in ("x" * 60, "x" * 61, "a.b", "a-b", "a b", "täglich", "tglich")}

    assert len(names) == 7


@pytest.mark.parametrize(("promoted", "expected"), [("", "two"), ("challenger", "three")])
def test_the_model_to_beat_is_the_champion_of_an_experiment_of_models(
    monkeypatch: pytest.MonkeyPatch, promoted: str, expected: str
) -> None:
    """Not the newest: that one waits as long as the experiment has the endpoint."""
    for run in ("one", "two", "three", "four"):
        enter(run)
    models = Experiment(
        name="propensity_model",
        arms=(Arm(name="champion", model=2), Arm(name="challenger", model=3)),
        control="champion",
        primary=BUYERS,
        layer="models",
        promoted=promoted,
    )
    monkeypatch.setitem(EXPERIMENTS, models.name, models)

    assert planned(any_dataset())["champion"] == f"s3://lake/models/{expected}.tar.gz"
