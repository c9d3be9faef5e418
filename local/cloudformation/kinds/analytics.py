"""Athena work groups and saved queries, and EMR Serverless applications."""

from __future__ import annotations

from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order


def _make_work_group(order: Order) -> Made:
    name = order.properties["Name"]
    configuration = order.properties.get("WorkGroupConfiguration", {})
    described = {"Description": order.properties["Description"]} if "Description" in order.properties else {}
    order.call(
        "athena", "create_work_group", Name=name, Configuration=configuration, Tags=order.tag_list(), **described
    )
    return Made(name)


def _change_work_group(order: Order) -> Made:
    updates: dict[str, Any] = dict(order.properties.get("WorkGroupConfiguration", {}))
    if result := updates.pop("ResultConfiguration", None):
        updates["ResultConfigurationUpdates"] = result
    kept = {key: order.properties[key] for key in ("Description", "State") if key in order.properties}
    order.call("athena", "update_work_group", WorkGroup=order.physical_id, ConfigurationUpdates=updates, **kept)
    return Made(order.physical_id)


def _remove_work_group(order: Order) -> None:
    order.call("athena", "delete_work_group", WorkGroup=order.physical_id, RecursiveDeleteOption=True)


def _make_named_query(order: Order) -> Made:
    kept = order.without("Name")
    kept.setdefault("WorkGroup", "primary")
    made = order.call("athena", "create_named_query", Name=order.name("Name", 128), **kept)["NamedQueryId"]
    return Made(made, {"NamedQueryId": made})


def _remove_named_query(order: Order) -> None:
    order.call("athena", "delete_named_query", NamedQueryId=order.physical_id)


def _make_application(order: Order) -> Made:
    made = order.call(
        "emr-serverless", "create_application", name=order.name("Name"), tags=order.tags(), **_application(order)
    )
    return Made(made["applicationId"], {"Arn": made["arn"], "ApplicationId": made["applicationId"]})


def _application(order: Order) -> dict[str, Any]:
    kept = order.without("Name", "Tags", "InitialCapacity")
    if capacity := order.properties.get("InitialCapacity"):
        kept["InitialCapacity"] = {worker["Key"]: worker["Value"] for worker in capacity}
    return kept


def _change_application(order: Order) -> Made:
    kept = _application(order)
    kept.pop("Type", None)
    order.call("emr-serverless", "update_application", applicationId=order.physical_id, **kept)
    return Made(order.physical_id, order.attributes)


def _remove_application(order: Order) -> None:
    order.call("emr-serverless", "delete_application", applicationId=order.physical_id)


KINDS = {
    "AWS::Athena::WorkGroup": Kind(_make_work_group, _remove_work_group, _change_work_group, frozenset({"Name"})),
    "AWS::Athena::NamedQuery": Kind(_make_named_query, _remove_named_query),
    "AWS::EMRServerless::Application": Kind(
        _make_application, _remove_application, _change_application, frozenset({"Name", "Type"})
    ),
}
