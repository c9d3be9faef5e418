"""SageMaker as the deploy function sees it; every call is checked against the service's own model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

ARN = "arn:aws:sagemaker:us-east-1:123456789012:model-package/rivermill-propensity/3"


@dataclass
class SageMaker:
    """An endpoint that serves the baseline, a registry with one package or some, and what was created since."""

    package: dict[str, Any]
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    variants: tuple[str, ...] = ("main",)
    status: str = "InService"
    config: str = "baseline"
    created: list[str] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    models: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)

    def describe_model_package(self, **asked: Any) -> dict[str, Any]:
        check("DescribeModelPackage", asked)
        wanted = asked["ModelPackageName"]
        if wanted == ARN:
            return self.package
        if wanted not in self.others:
            message = f"ModelPackage {wanted} does not exist."
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "DescribeModelPackage")
        return self.others[wanted]

    def create_model(self, **asked: Any) -> None:
        self._create("CreateModel", self.models, asked["ModelName"], asked)

    def create_endpoint_config(self, **asked: Any) -> None:
        self._create("CreateEndpointConfig", self.configs, asked["EndpointConfigName"], asked)

    def describe_endpoint(self, **asked: Any) -> dict[str, Any]:
        check("DescribeEndpoint", asked)
        shown = [{"VariantName": name} for name in self.variants]
        return {"EndpointStatus": self.status, "EndpointConfigName": self.config, "ProductionVariants": shown}

    def update_endpoint(self, **asked: Any) -> None:
        check("UpdateEndpoint", asked)
        self.updates.append(asked)
        self.status, self.config = "Updating", asked["EndpointConfigName"]
        self.variants = tuple(each["VariantName"] for each in self.configs[self.config]["ProductionVariants"])

    def _create(self, operation: str, known: dict[str, Any], name: str, asked: dict[str, Any]) -> None:
        check(operation, asked)
        if name in known:
            message = f'Cannot create already existing model "arn:aws:sagemaker:us-east-1:123456789012:model/{name}".'
            raise ClientError({"Error": {"Code": "ValidationException", "Message": message}}, operation)
        known[name] = asked
        self.created.append(name)


@dataclass
class CloudWatch:
    """CloudWatch with some alarms."""

    alarms: tuple[str, ...] = ()

    def describe_alarms(self, **asked: Any) -> dict[str, Any]:
        return {"MetricAlarms": [{"AlarmName": name} for name in self.alarms if name in asked["AlarmNames"]]}


def any_package(model_data: str = "s3://lake/models/job/output/model.tar.gz", version: int = 3) -> dict[str, Any]:
    container = {"Image": "image", "ModelDataUrl": model_data, "Environment": {"SAGEMAKER_PROGRAM": "serve.py"}}
    return {"ModelPackageVersion": version, "InferenceSpecification": {"Containers": [container]}}


def check(operation: str, asked: dict[str, Any]) -> None:
    """Raise for what boto3 would not send."""
    model = boto3.client("sagemaker", region_name="us-east-1").meta.service_model.operation_model(operation)
    report = ParamValidator().validate(asked, model.input_shape)
    assert not report.has_errors(), report.generate_report()
