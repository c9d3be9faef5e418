"""Lambda functions, their versions, aliases, addresses, layers, permissions and event source mappings."""

from __future__ import annotations

import io
import time
import zipfile
from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order

READY_SECONDS = 60.0


def _code(order: Order) -> dict[str, Any]:
    code = dict(order.properties.get("Code", {}))
    if "ImageUri" in code:
        raise NotImplementedError("Code.ImageUri: the laptop cloud runs no containers; deploy a zip")
    if isinstance(code.get("ZipFile"), str):
        code["ZipFile"] = _zipped(code["ZipFile"], order.properties.get("Runtime", "python"))
    return code


def _zipped(source: str, runtime: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("index.js" if runtime.startswith("nodejs") else "index.py", source)
    return held.getvalue()


_ASIDE = ("Code", "FunctionName", "Tags", "ReservedConcurrentExecutions", "RecursiveLoop", "RuntimeManagementConfig")


def _make_function(order: Order) -> Made:
    name = order.name("FunctionName")
    kept = order.without(*_ASIDE, "SnapStart")
    made = order.call("lambda", "create_function", FunctionName=name, Code=_code(order), Tags=order.tags(), **kept)
    _reserve(order, name)
    return Made(name, {"Arn": made["FunctionArn"]})


def _reserve(order: Order, name: str) -> None:
    reserved = order.properties.get("ReservedConcurrentExecutions")
    if reserved is not None:
        order.call("lambda", "put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=reserved)
    elif "ReservedConcurrentExecutions" in order.before:
        order.call("lambda", "delete_function_concurrency", FunctionName=name)


def _change_function(order: Order) -> Made:
    name = order.physical_id
    if order.properties.get("Code") != order.before.get("Code"):
        order.call("lambda", "update_function_code", FunctionName=name, **_code(order))
    kept = order.without(*_ASIDE, "SnapStart", "PackageType", "CodeSigningConfigArn", "Architectures")
    order.call("lambda", "update_function_configuration", FunctionName=name, **kept)
    _reserve(order, name)
    return Made(name, order.attributes)


def _remove_function(order: Order) -> None:
    order.call("lambda", "delete_function", FunctionName=order.physical_id)


def _make_version(order: Order) -> Made:
    kept = order.without("RuntimePolicy", "ProvisionedConcurrencyConfig")
    made = order.call("lambda", "publish_version", **kept)
    return Made(made["FunctionArn"], {"Version": made["Version"], "FunctionArn": made["FunctionArn"]})


def _remove_version(order: Order) -> None:
    name, _, version = order.physical_id.rpartition(":")
    order.call("lambda", "delete_function", FunctionName=name, Qualifier=version)


def _make_alias(order: Order) -> Made:
    made = order.call("lambda", "create_alias", **order.without("ProvisionedConcurrencyConfig"))
    return Made(made["AliasArn"], {"AliasArn": made["AliasArn"]})


def _change_alias(order: Order) -> Made:
    order.call("lambda", "update_alias", **order.without("ProvisionedConcurrencyConfig"))
    return Made(order.physical_id, order.attributes)


def _remove_alias(order: Order) -> None:
    order.call("lambda", "delete_alias", FunctionName=order.properties["FunctionName"], Name=order.properties["Name"])


def _address(order: Order) -> dict[str, Any]:
    kept = order.without("TargetFunctionArn", "Qualifier")
    qualifier = {"Qualifier": order.properties["Qualifier"]} if "Qualifier" in order.properties else {}
    return {"FunctionName": order.properties["TargetFunctionArn"], **qualifier, **kept}


def _make_address(order: Order) -> Made:
    made = order.call("lambda", "create_function_url_config", **_address(order))
    return Made(made["FunctionArn"], {"FunctionArn": made["FunctionArn"], "FunctionUrl": made["FunctionUrl"]})


def _change_address(order: Order) -> Made:
    made = order.call("lambda", "update_function_url_config", **_address(order))
    return Made(order.physical_id, {"FunctionArn": made["FunctionArn"], "FunctionUrl": made["FunctionUrl"]})


def _remove_address(order: Order) -> None:
    order.call("lambda", "delete_function_url_config", FunctionName=order.properties["TargetFunctionArn"])


def _make_permission(order: Order) -> Made:
    statement = order.name("", 90)
    order.call("lambda", "add_permission", StatementId=statement, **order.properties)
    return Made(statement, {"Id": statement})


def _remove_permission(order: Order) -> None:
    function = order.properties["FunctionName"]
    order.call("lambda", "remove_permission", FunctionName=function, StatementId=order.physical_id)


def _make_layer(order: Order) -> Made:
    name = order.name("LayerName", 140)
    made = order.call("lambda", "publish_layer_version", LayerName=name, **order.without("LayerName"))
    return Made(made["LayerVersionArn"], {"LayerVersionArn": made["LayerVersionArn"]})


def _remove_layer(order: Order) -> None:
    name, _, version = order.physical_id.rpartition(":")
    order.call("lambda", "delete_layer_version", LayerName=name, VersionNumber=version)


def _put_invoke_config(order: Order) -> Made:
    order.call("lambda", "put_function_event_invoke_config", **order.properties)
    return Made(order.physical_id or order.name("", 60))


def _remove_invoke_config(order: Order) -> None:
    function = order.properties["FunctionName"]
    qualifier = order.properties.get("Qualifier", "$LATEST")
    order.call("lambda", "delete_function_event_invoke_config", FunctionName=function, Qualifier=qualifier)


def _make_mapping(order: Order) -> Made:
    made = order.call("lambda", "create_event_source_mapping", **order.without("Tags"))
    _await_mapping(order, made["UUID"])
    return Made(made["UUID"], {"Id": made["UUID"], "EventSourceMappingArn": _mapping_arn(order, made["UUID"])})


def _mapping_arn(order: Order, identity: str) -> str:
    return order.arn("lambda", f"event-source-mapping:{identity}")


def _await_mapping(order: Order, identity: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while order.call("lambda", "get_event_source_mapping", UUID=identity)["State"] in ("Creating", "Updating"):
        if time.monotonic() > end:
            raise TimeoutError(f"the event source mapping {identity} was not ready after {READY_SECONDS:.0f} s")
        time.sleep(0.1)


_MAPPING_FIXED = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "SelfManagedEventSource")


def _change_mapping(order: Order) -> Made:
    kept = order.without("Tags", *_MAPPING_FIXED)
    order.call("lambda", "update_event_source_mapping", UUID=order.physical_id, **kept)
    _await_mapping(order, order.physical_id)
    return Made(order.physical_id, order.attributes)


def _remove_mapping(order: Order) -> None:
    order.call("lambda", "delete_event_source_mapping", UUID=order.physical_id)


KINDS = {
    "AWS::Lambda::Function": Kind(_make_function, _remove_function, _change_function, frozenset({"FunctionName"})),
    "AWS::Lambda::Version": Kind(_make_version, _remove_version),
    "AWS::Lambda::Alias": Kind(_make_alias, _remove_alias, _change_alias, frozenset({"FunctionName", "Name"})),
    "AWS::Lambda::Url": Kind(
        _make_address, _remove_address, _change_address, frozenset({"TargetFunctionArn", "Qualifier"})
    ),
    "AWS::Lambda::Permission": Kind(_make_permission, _remove_permission),
    "AWS::Lambda::LayerVersion": Kind(_make_layer, _remove_layer),
    "AWS::Lambda::EventInvokeConfig": Kind(
        _put_invoke_config, _remove_invoke_config, _put_invoke_config, frozenset({"FunctionName", "Qualifier"})
    ),
    "AWS::Lambda::EventSourceMapping": Kind(_make_mapping, _remove_mapping, _change_mapping, frozenset(_MAPPING_FIXED)),
}
