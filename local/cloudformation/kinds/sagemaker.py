"""SageMaker models, endpoints and model package groups."""

from __future__ import annotations

import time
from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order

IN_SERVICE_SECONDS = 300.0


def _make_group(order: Order) -> Made:
    name = order.properties["ModelPackageGroupName"]
    kept = order.without("ModelPackageGroupPolicy", "Tags")
    arn = order.call("sagemaker", "create_model_package_group", Tags=order.tag_list(), **kept)["ModelPackageGroupArn"]
    return Made(arn, {"ModelPackageGroupArn": arn, "ModelPackageGroupName": name})


def _remove_group(order: Order) -> None:
    name = order.properties["ModelPackageGroupName"]
    order.call("sagemaker", "delete_model_package_group", ModelPackageGroupName=name)


def _make_model(order: Order) -> Made:
    name = order.name("ModelName", 63)
    kept = order.without("ModelName", "Tags")
    arn = order.call("sagemaker", "create_model", ModelName=name, Tags=order.tag_list(), **kept)["ModelArn"]
    return Made(arn, {"ModelName": name, "Id": arn}, arn)


def _remove_model(order: Order) -> None:
    order.call("sagemaker", "delete_model", ModelName=order.attributes["ModelName"])


def _make_configuration(order: Order) -> Made:
    name = order.name("EndpointConfigName", 63)
    kept = order.without("EndpointConfigName", "Tags")
    made = order.call("sagemaker", "create_endpoint_config", EndpointConfigName=name, Tags=order.tag_list(), **kept)
    return Made(made["EndpointConfigArn"], {"EndpointConfigName": name, "Id": made["EndpointConfigArn"]})


def _remove_configuration(order: Order) -> None:
    name = order.attributes["EndpointConfigName"]
    order.call("sagemaker", "delete_endpoint_config", EndpointConfigName=name)


def _make_endpoint(order: Order) -> Made:
    name = order.name("EndpointName", 63)
    configuration = order.properties["EndpointConfigName"]
    arn = order.call(
        "sagemaker", "create_endpoint", EndpointName=name, EndpointConfigName=configuration, Tags=order.tag_list()
    )["EndpointArn"]
    _await_service(order, name)
    return Made(arn, {"EndpointName": name, "Id": arn})


def _change_endpoint(order: Order) -> Made:
    name, configuration = order.attributes["EndpointName"], order.properties["EndpointConfigName"]
    deployment: dict[str, Any] = (
        {"DeploymentConfig": order.properties["DeploymentConfig"]} if ("DeploymentConfig" in order.properties) else {}
    )
    if configuration != order.before.get("EndpointConfigName"):
        order.call("sagemaker", "update_endpoint", EndpointName=name, EndpointConfigName=configuration, **deployment)
        _await_service(order, name)
    return Made(order.physical_id, order.attributes)


def _await_service(order: Order, name: str) -> None:
    end = time.monotonic() + IN_SERVICE_SECONDS
    while (status := _endpoint(order, name)["EndpointStatus"]) in ("Creating", "Updating", "SystemUpdating"):
        if time.monotonic() > end:
            raise TimeoutError(f"endpoint {name} was {status} after {IN_SERVICE_SECONDS:.0f} s")
        time.sleep(0.1)
    if status != "InService":
        reason = _endpoint(order, name).get("FailureReason", "no reason given")
        raise RuntimeError(f"endpoint {name} is {status}: {reason}")


def _endpoint(order: Order, name: str) -> dict[str, Any]:
    return dict(order.call("sagemaker", "describe_endpoint", EndpointName=name))


def _remove_endpoint(order: Order) -> None:
    order.call("sagemaker", "delete_endpoint", EndpointName=order.attributes["EndpointName"])


KINDS = {
    "AWS::SageMaker::ModelPackageGroup": Kind(_make_group, _remove_group),
    "AWS::SageMaker::Model": Kind(_make_model, _remove_model),
    "AWS::SageMaker::EndpointConfig": Kind(_make_configuration, _remove_configuration),
    "AWS::SageMaker::Endpoint": Kind(_make_endpoint, _remove_endpoint, _change_endpoint, frozenset({"EndpointName"})),
}
