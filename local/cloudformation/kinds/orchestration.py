"""Step Functions, EventBridge Scheduler and Application Auto Scaling."""

from __future__ import annotations

import json
from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order


def _definition(order: Order) -> str:
    properties = order.properties
    if location := properties.get("DefinitionS3Location"):
        held = order.call("s3", "get_object", Bucket=location["Bucket"], Key=location["Key"])
        text = held["Body"].read().decode()
    else:
        text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace("${" + name + "}", str(value))
    return str(text)


def _make_machine(order: Order) -> Made:
    name = order.name("StateMachineName", 80)
    kept = {
        argument: order.properties[property]
        for property, argument in {
            "RoleArn": "roleArn",
            "StateMachineType": "type",
            "LoggingConfiguration": "loggingConfiguration",
            "TracingConfiguration": "tracingConfiguration",
        }.items()
        if property in order.properties
    }
    tags = [{"key": key, "value": value} for key, value in order.tags().items()]
    arn = order.call(
        "stepfunctions", "create_state_machine", name=name, definition=_definition(order), tags=tags, **kept
    )
    return Made(arn["stateMachineArn"], {"Arn": arn["stateMachineArn"], "Name": name})


def _change_machine(order: Order) -> Made:
    changed: dict[str, Any] = {"definition": _definition(order), "roleArn": order.properties["RoleArn"]}
    for property, argument in (
        ("LoggingConfiguration", "loggingConfiguration"),
        ("TracingConfiguration", "tracingConfiguration"),
    ):
        if property in order.properties:
            changed[argument] = order.properties[property]
    order.call("stepfunctions", "update_state_machine", stateMachineArn=order.physical_id, **changed)
    return Made(order.physical_id, order.attributes)


def _remove_machine(order: Order) -> None:
    order.call("stepfunctions", "delete_state_machine", stateMachineArn=order.physical_id)


def _make_schedule(order: Order) -> Made:
    name = order.name("Name")
    made = order.call("scheduler", "create_schedule", Name=name, **order.without("Name"))
    return Made(name, {"Arn": made["ScheduleArn"]})


def _change_schedule(order: Order) -> Made:
    order.call("scheduler", "update_schedule", Name=order.physical_id, **order.without("Name"))
    return Made(order.physical_id, order.attributes)


def _remove_schedule(order: Order) -> None:
    group = {"GroupName": order.properties["GroupName"]} if "GroupName" in order.properties else {}
    order.call("scheduler", "delete_schedule", Name=order.physical_id, **group)


def _make_schedule_group(order: Order) -> Made:
    name = order.name("Name")
    made = order.call("scheduler", "create_schedule_group", Name=name, Tags=order.tag_list())
    return Made(name, {"Arn": made["ScheduleGroupArn"]})


def _remove_schedule_group(order: Order) -> None:
    order.call("scheduler", "delete_schedule_group", Name=order.physical_id)


def _make_target(order: Order) -> Made:
    kept = order.without("RoleARN", "ScheduledActions", "Tags")
    order.call("application-autoscaling", "register_scalable_target", Tags=order.tags(), **kept)
    held = order.properties
    identity = f"{held['ResourceId']}|{held['ScalableDimension']}|{held['ServiceNamespace']}"
    return Made(identity, {"Id": identity})


def _remove_target(order: Order) -> None:
    kept = {key: order.properties[key] for key in ("ResourceId", "ScalableDimension", "ServiceNamespace")}
    order.call("application-autoscaling", "deregister_scalable_target", **kept)


def _policy(order: Order) -> dict[str, Any]:
    kept = order.without("ScalingTargetId")
    if target := order.properties.get("ScalingTargetId"):
        resource, dimension, namespace = target.split("|")
        kept |= {"ResourceId": resource, "ScalableDimension": dimension, "ServiceNamespace": namespace}
    return kept


def _put_scaling(order: Order) -> Made:
    arn = order.call("application-autoscaling", "put_scaling_policy", **_policy(order))["PolicyARN"]
    return Made(arn, {"Arn": arn})


def _remove_scaling(order: Order) -> None:
    kept = _policy(order)
    wanted = ("PolicyName", "ResourceId", "ScalableDimension", "ServiceNamespace")
    order.call("application-autoscaling", "delete_scaling_policy", **{key: kept[key] for key in wanted})


KINDS = {
    "AWS::StepFunctions::StateMachine": Kind(
        _make_machine, _remove_machine, _change_machine, frozenset({"StateMachineName", "StateMachineType"})
    ),
    "AWS::Scheduler::Schedule": Kind(
        _make_schedule, _remove_schedule, _change_schedule, frozenset({"Name", "GroupName"})
    ),
    "AWS::Scheduler::ScheduleGroup": Kind(_make_schedule_group, _remove_schedule_group),
    "AWS::ApplicationAutoScaling::ScalableTarget": Kind(
        _make_target, _remove_target, _make_target, frozenset({"ResourceId", "ScalableDimension", "ServiceNamespace"})
    ),
    "AWS::ApplicationAutoScaling::ScalingPolicy": Kind(
        _put_scaling, _remove_scaling, _put_scaling, frozenset({"PolicyName"})
    ),
}
