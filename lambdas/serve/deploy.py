"""Put a registered model behind the endpoint, a part of the traffic first."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Any

import boto3
from botocore.exceptions import ClientError

from lambdas.serve.settings import DeploySettings

VARIANT = "main"
WAIT_SECONDS = 300  # that the canary serves before the rest follows, and that the old fleet outlives the new
CANARY_PERCENT = 50  # the most that SageMaker takes
FEWEST_FOR_CANARY = 2  # half of one instance is none

settings = cache(DeploySettings.read)
client = cache(boto3.client)


class EndpointBusy(RuntimeError):
    """The endpoint is being changed; asking again later mends it."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Point the endpoint at the model package `{"model_package_arn"}`; the second time changes nothing."""
    arn = event["model_package_arn"]
    package = client("sagemaker").describe_model_package(ModelPackageName=arn)
    name = name_of(package)
    once(client("sagemaker").create_model, model(name, package, arn))
    once(client("sagemaker").create_endpoint_config, endpoint_config(name))
    updated = update(name)
    return {"endpoint": settings().endpoint, "endpoint_config": name, "model": name, "updated": updated}


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


def endpoint_config(name: str) -> dict[str, Any]:
    """Describe the fleet that serves the model."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": name,
        "InstanceType": settings().instance_type,
        "InitialInstanceCount": int(settings().instance_count),
        "InitialVariantWeight": 1.0,
    }
    return {"EndpointConfigName": name, "ProductionVariants": [variant]}


def once(create: Any, wanted: dict[str, Any]) -> None:
    """Create what does not exist yet."""
    try:
        create(**wanted)
    except ClientError as fault:
        # SageMaker has no code of its own for this; it says: Cannot create already existing model "arn:…".
        if "already exist" not in fault.response["Error"]["Message"]:
            raise


def update(name: str) -> bool:
    """Move the endpoint to a config, unless it is there."""
    found = client("sagemaker").describe_endpoint(EndpointName=settings().endpoint)
    if found["EndpointStatus"] != "InService":
        raise EndpointBusy(f"{settings().endpoint} is {found['EndpointStatus']}; ask again once it is InService")
    if found["EndpointConfigName"] == name:
        return False
    client("sagemaker").update_endpoint(
        EndpointName=settings().endpoint, EndpointConfigName=name, DeploymentConfig=deployment(existing_alarms())
    )
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
