"""The calls that a deployment needs and moto lacks, each over what its backend already keeps."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from local.cloud import Cloud


def install(_: Cloud) -> None:
    """Add the calls to moto's services, where a later moto has not."""
    for service, name, work in (
        (CloudWatchResponse, "put_composite_alarm", _put_composite_alarm),
        (SageMakerResponse, "delete_model_package_group", _delete_model_package_group),
    ):
        if not hasattr(service, name):
            setattr(service, name, work)


def _put_composite_alarm(response: Any) -> EmptyResult:
    """The alarms that the rule names are real; the rule itself is kept, not evaluated."""

    def given(name: str, default: Any = None) -> Any:
        return response._get_param(name, default)

    unused = (
        "namespace",
        "metric_name",
        "comparison_operator",
        "evaluation_periods",
        "period",
        "threshold",
        "statistic",
    )
    response.cloudwatch_backend.put_metric_alarm(
        name=given("AlarmName"),
        rule=given("AlarmRule"),
        description=given("AlarmDescription", ""),
        alarm_actions=given("AlarmActions", []),
        ok_actions=given("OKActions", []),
        insufficient_data_actions=given("InsufficientDataActions", []),
        actions_enabled=given("ActionsEnabled", True),
        tags=given("Tags", []),
        dimensions=[],
        **dict.fromkeys(unused),
    )
    return EmptyResult()


def _delete_model_package_group(response: Any) -> str:
    name, backend = response._get_param("ModelPackageGroupName"), response.sagemaker_backend
    if name not in backend.model_package_groups:
        raise ValidationError(f"Model package group {name} does not exist.")
    if any(package.model_package_group_name == name for package in backend.model_packages.values()):
        raise ValidationError(f"Model package group {name} holds model packages: delete them first.")
    del backend.model_package_groups[name]
    return "{}"
