"""A lake and a registry of the laptop cloud's, and a run with its dataset and report in them."""

from __future__ import annotations

import json
from typing import Any

import boto3
from moto.sagemaker.models import sagemaker_backends

from local.cloud import Cloud

BUCKET = "lake"
GROUP = "rivermill-propensity"
RUN = "daily-2026-03-01"
BASELINE = "s3://assets/baseline.tar.gz"


def any_dataset(rows: int = 2_000, positives: int = 300, **by_split: dict[str, int]) -> dict[str, Any]:
    counted = {split: {"rows": rows, "positives": positives} for split in ("train", "calibrate", "test")}
    return {
        "run": RUN,
        "day": "2026-03-01",
        "table": "features.propensity",
        "snapshot_id": 6871256214523178491,
        "manifest": f"s3://{BUCKET}/training/{RUN}/dataset.manifest",
        "rows": 3 * rows,
        "by_split": {**counted, **by_split},
    }


def any_report(passed: bool = True, **changes: Any) -> dict[str, Any]:
    report = {
        "passed": passed,
        "reasons": [] if passed else ["not better than the champion: …"],
        "metrics": {"auc": {"value": 0.8123456, "low": 0.79, "high": 0.83}},
        "model": {"code_digest": "c0de", "chosen": "logistic"},
    }
    return {**report, **changes}


def put(key: str, body: dict[str, Any]) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(body))


def make_lake_and_registry(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP)


def empty(cloud: Cloud) -> None:
    """Remove the lake and the registry; the cloud has no call that removes a model package."""
    s3, registry = cloud.client("s3"), sagemaker_backends[cloud.account][cloud.region]
    for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        s3.delete_object(Bucket=BUCKET, Key=found["Key"])
    s3.delete_bucket(Bucket=BUCKET)
    for kept in (registry.model_packages, registry.model_package_name_mapping, registry.model_package_groups):
        kept.clear()


def packages() -> list[dict[str, Any]]:
    client = boto3.client("sagemaker")
    found = client.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
    return [client.describe_model_package(ModelPackageName=one["ModelPackageArn"]) for one in found]


def enter(run: str, status: str = "Approved") -> None:
    boto3.client("sagemaker").create_model_package(
        ModelPackageGroupName=GROUP,
        InferenceSpecification={"Containers": [{"Image": "image", "ModelDataUrl": f"s3://lake/models/{run}.tar.gz"}]},
        ModelApprovalStatus=status,
        CustomerMetadataProperties={"run": run},
    )
