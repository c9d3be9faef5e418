from __future__ import annotations

from typing import Any

import pytest

from lambdas.train import plan, register
from tests.lambdas.train.registry import RUN, any_dataset, any_report, packages, put

MODEL = "s3://lake/models/job/output/model.tar.gz"


@pytest.fixture
def event() -> dict[str, Any]:
    put(f"training/{RUN}/dataset.json", any_dataset())
    return {"plan": plan.handler({"run": RUN, "day": "2026-03-01"}, None), "model_data": MODEL}


def test_a_model_that_passed_is_registered_with_what_it_was_made_from(event: dict[str, Any]) -> None:
    put(f"training/{RUN}/validation/report.json", any_report())

    found = register.handler(event, None)

    (package,) = packages()
    assert found == {"registered": True, "reasons": [], "model_package_arn": package["ModelPackageArn"]}
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["InferenceSpecification"]["Containers"][0] == {
        "Image": "image",
        "ModelDataUrl": MODEL,
        "Environment": {"A": "b"},
    }
    assert package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == event["plan"]["report"]
    assert package["CustomerMetadataProperties"] == {
        "run": RUN,
        "day": "2026-03-01",
        "table": "features.propensity",
        "snapshot": "6871256214523178491",
        "seed": "7",
        "code_digest": "c0de",
        "chosen": "logistic",
        "auc": "0.812346 [0.790000, 0.830000]",
    }


def test_a_model_that_was_refused_is_not_registered_and_the_answer_says_why(event: dict[str, Any]) -> None:
    put(f"training/{RUN}/validation/report.json", any_report(passed=False))

    found = register.handler(event, None)

    assert found == {
        "registered": False,
        "reasons": ["not better than the champion: …"],
        "model_package_arn": None,
    }
    assert packages() == []


def test_registering_twice_gives_the_same_package(event: dict[str, Any]) -> None:
    put(f"training/{RUN}/validation/report.json", any_report())

    first, second = register.handler(event, None), register.handler(event, None)

    assert first == second
    assert len(packages()) == 1


def test_what_was_registered_is_the_next_run_s_champion(event: dict[str, Any]) -> None:
    put(f"training/{RUN}/validation/report.json", any_report())
    register.handler(event, None)
    put("training/daily-2026-03-02/dataset.json", any_dataset())

    assert plan.handler({"run": "daily-2026-03-02", "day": "2026-03-02"}, None)["champion"] == MODEL


def test_a_measure_without_an_interval_is_registered_as_unknown(event: dict[str, Any]) -> None:
    unknown = {"auc": {"value": None, "low": None, "high": None}}
    put(f"training/{RUN}/validation/report.json", any_report(metrics=unknown))

    register.handler(event, None)

    assert packages()[0]["CustomerMetadataProperties"]["auc"] == "unknown"
