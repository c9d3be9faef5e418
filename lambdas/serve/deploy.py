"""Put a registered model behind the endpoint, a part of the traffic first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

import boto3
from botocore.exceptions import ClientError

from domain.experiment.declaration import MAIN_VARIANT
from domain.experiments import EXPERIMENTS
from domain.serve.variants import governing, versions
from lambdas.serve.settings import DeploySettings

WAIT_SECONDS = 300  # that the canary serves before the rest follows, and that the old fleet outlives the new
CANARY_PERCENT = 50  # the most that SageMaker takes
FEWEST_FOR_CANARY = 2  # half of one instance is none

settings = cache(DeploySettings.read)
client = cache(boto3.client)


NOT_THERE = ("ValidationException", "ResourceNotFound")


class UnknownModel(ValueError):
    """An experiment's arm that is a model which nobody registered."""


class EndpointBusy(RuntimeError):
    """The endpoint is being changed; asking again later mends it."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Point the endpoint at the model package `{"model_package_arn"}`; the second time changes nothing.

    While an experiment has models for its arms, the endpoint has these, and a package that comes meanwhile waits.
    """
    experiment = governing(EXPERIMENTS)
    if experiment is None:
        return deployed({MAIN_VARIANT: event["model_package_arn"]})
    arns = {variant: f"{settings().packages}/{version}" for variant, version in versions(experiment).items()}
    waits = event.get("model_package_arn")
    return {**deployed(arns), "held_by": experiment.name, "waits": waits if waits not in arns.values() else None}


def deployed(variant_to_arn: Mapping[str, str]) -> dict[str, Any]:
    """Put a model package behind each variant of the endpoint."""
    variant_to_model = {}
    for variant, arn in variant_to_arn.items():
        package = package_of(variant, arn)
        variant_to_model[variant] = name_of(package)
        once(client("sagemaker").create_model, model(variant_to_model[variant], package, arn))
    config = endpoint_config(variant_to_model)
    once(client("sagemaker").create_endpoint_config, config)
    return {
        "endpoint": settings().endpoint,
        "endpoint_config": config["EndpointConfigName"],
        "model": variant_to_model[MAIN_VARIANT],
        "updated": update(config["EndpointConfigName"], set(variant_to_model)),
    }


def package_of(variant: str, arn: str) -> dict[str, Any]:
    """Describe a model package; raise UnknownModel for one that the registry does not have."""
    try:
        package: dict[str, Any] = client("sagemaker").describe_model_package(ModelPackageName=arn)
    except ClientError as fault:
        if fault.response["Error"]["Code"] not in NOT_THERE:
            raise
        raise UnknownModel(f"variant {variant!r}: the registry has no {arn}; declare a version that it has") from fault
    return package


def name_of(package: dict[str, Any]) -> str:
    """Name model and config after the package, so that every repetition meets what it made before.

    Versions begin anew with a new group, so the model's place is in the name too.
    """
    digest = sha256(model_data_of(package).encode()).hexdigest()[:8]
    return f"{settings().endpoint}-{package['ModelPackageVersion']}-{digest}"


def model_data_of(package: dict[str, Any]) -> str:
    """Say where the package's `model.tar.gz` lies."""
    return str(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])


def model(name: str, package: dict[str, Any], arn: str) -> dict[str, Any]:
    """Describe the model: the package's container."""
    container = package["InferenceSpecification"]["Containers"][0]
    return {
        "ModelName": name,
        "ExecutionRoleArn": settings().role,
        "PrimaryContainer": {
            "Image": container["Image"],
            "ModelDataUrl": container["ModelDataUrl"],
            "Environment": container.get("Environment", {}),
        },
        "Tags": [{"Key": "model-package", "Value": arn}],
    }


def endpoint_config(variant_to_model: Mapping[str, str]) -> dict[str, Any]:
    """Describe the fleets that serve the models: the main one has all weight, another is asked for by its name.

    A config of one model has the model's name, one of several a name that all of them make.
    """
    name = variant_to_model[MAIN_VARIANT]
    if len(variant_to_model) > 1:
        said = json.dumps(sorted(variant_to_model.items())).encode()
        name = f"{settings().endpoint}-arms-{sha256(said).hexdigest()[:12]}"
    variants = [
        {
            "VariantName": variant,
            "ModelName": model,
            "InstanceType": settings().instance_type,
            "InitialInstanceCount": int(settings().instance_count),
            "InitialVariantWeight": float(variant == MAIN_VARIANT),
        }
        for variant, model in variant_to_model.items()
    ]
    return {"EndpointConfigName": name, "ProductionVariants": variants}


def once(create: Any, wanted: dict[str, Any]) -> None:
    """Create what does not exist yet."""
    try:
        create(**wanted)
    except ClientError as fault:
        # SageMaker has no code of its own for this; it says: Cannot create already existing model "arn:…".
        if "already exist" not in fault.response["Error"]["Message"]:
            raise


def update(name: str, variants: set[str]) -> bool:
    """Move the endpoint to a config, unless it is there.

    Traffic is shifted step by step between fleets of the same variants only ("Deployment guardrails: Exclusions").
    """
    found = client("sagemaker").describe_endpoint(EndpointName=settings().endpoint)
    if found["EndpointStatus"] != "InService":
        raise EndpointBusy(f"{settings().endpoint} is {found['EndpointStatus']}; ask again once it is InService")
    if found["EndpointConfigName"] == name:
        return False
    before = {variant["VariantName"] for variant in found["ProductionVariants"]}
    guarded = {"DeploymentConfig": deployment(existing_alarms())} if before == variants else {}
    client("sagemaker").update_endpoint(EndpointName=settings().endpoint, EndpointConfigName=name, **guarded)
    return True


def deployment(alarms: list[str]) -> dict[str, Any]:
    """Shift traffic to a new fleet, by canary where there are instances enough; an alarm shifts it back."""
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": WAIT_SECONDS}
    if int(settings().instance_count) >= FEWEST_FOR_CANARY:
        routing |= {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": CANARY_PERCENT}}
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": WAIT_SECONDS}
    rollback = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]}} if alarms else {}
    return {"BlueGreenUpdatePolicy": policy, **rollback}


def existing_alarms() -> list[str]:
    """List which of the named alarms there are: SageMaker refuses one that there is not."""
    names = [name for name in settings().alarms.split(",") if name]
    if not names:
        return []
    found = client("cloudwatch").describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"])
    return [alarm["AlarmName"] for alarm in found["MetricAlarms"]]
