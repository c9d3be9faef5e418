"""Enter a model that passed its gate in the registry, with what it was made from."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import boto3

from lambdas.train.registry import approved, run_of
from lambdas.train.settings import RegisterSettings

JSON = "application/json"
LONGEST_VALUE = 256  # of a customer metadata property

settings = cache(RegisterSettings.read)
client = cache(boto3.client)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Register the model of `{"plan": …, "model_data": URL}`, once however often it is asked."""
    plan = event["plan"]
    report = read(plan["report"])
    if not report["passed"]:
        return {"registered": False, "reasons": report["reasons"], "model_package_arn": None}
    known = registered(plan["run"])
    arn = known or create(plan, report, event["model_data"])
    return {"registered": True, "reasons": [], "model_package_arn": arn}


def registered(run: str) -> str | None:
    """Find the package that the run has registered already."""
    packages = approved(client("sagemaker"), settings().model_package_group)
    return next((package["ModelPackageArn"] for package in packages if run_of(package) == run), None)


def create(plan: dict[str, Any], report: dict[str, Any], model_data: str) -> str:
    """Create the package and give its ARN."""
    created = client("sagemaker").create_model_package(
        ModelPackageGroupName=settings().model_package_group,
        ModelPackageDescription=f"Propensity to purchase, {plan['run']}"[:1024],
        InferenceSpecification={
            "Containers": [container(model_data)],
            "SupportedContentTypes": [JSON],
            "SupportedResponseMIMETypes": [JSON],
            "SupportedRealtimeInferenceInstanceTypes": [settings().instance_type],
        },
        ModelApprovalStatus="Approved",
        ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": JSON, "S3Uri": plan["report"]}}},
        CustomerMetadataProperties=properties(plan, report),
        ClientToken=sha256(plan["run"].encode()).hexdigest()[:36],
    )
    return str(created["ModelPackageArn"])


def container(model_data: str) -> dict[str, Any]:
    """Describe the container that serves the model, whoever deploys it."""
    environment = json.loads(settings().environment)
    return {"Image": settings().image, "ModelDataUrl": model_data, "Environment": environment}


def properties(plan: dict[str, Any], report: dict[str, Any]) -> dict[str, str]:
    """Say what the model was made from and how good it is, as the registry keeps it: text by name."""
    model, asked = report["model"], plan["hyperparameters"]
    facts = {
        **{name: asked[name] for name in ("run", "day", "table", "snapshot", "seed")},
        "code_digest": model["code_digest"],
        "chosen": model["chosen"],
        **{name: _interval(measured) for name, measured in report["metrics"].items()},
    }
    return {name: str(value)[:LONGEST_VALUE] for name, value in facts.items()}


def _interval(measured: dict[str, float | None]) -> str:
    value, low, high = (measured[end] for end in ("value", "low", "high"))
    return "unknown" if None in (value, low, high) else f"{value:.6f} [{low:.6f}, {high:.6f}]"


def read(url: str) -> dict[str, Any]:
    """Read a report from its S3 URL."""
    place = urlsplit(url)
    found = client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))
    report: dict[str, Any] = json.loads(found["Body"].read())
    return report
