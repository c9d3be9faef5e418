"""Glue databases, tables (Iceberg ones included), jobs and triggers."""

from __future__ import annotations

from typing import Any

from local import iceberg
from local.cloudformation.kinds.kind import Kind, Made, Order


def _make_database(order: Order) -> Made:
    given = dict(order.properties["DatabaseInput"])
    given.setdefault("Name", order.properties.get("DatabaseName") or order.name("", 200, lower=True))
    order.call("glue", "create_database", DatabaseInput=given)
    return Made(given["Name"])


def _change_database(order: Order) -> Made:
    given = {**order.properties["DatabaseInput"], "Name": order.physical_id}
    order.call("glue", "update_database", Name=order.physical_id, DatabaseInput=given)
    return Made(order.physical_id)


def _remove_database(order: Order) -> None:
    order.call("glue", "delete_database", Name=order.physical_id)


def _make_table(order: Order) -> Made:
    database = order.properties["DatabaseName"]
    name = order.properties.get("Name") or order.properties["TableInput"]["Name"]
    if iceberg_input := order.properties.get("OpenTableFormatInput", {}).get("IcebergInput"):
        iceberg.create(order.cloud, database, name, iceberg_input["IcebergTableInput"])
    else:
        order.call(
            "glue", "create_table", DatabaseName=database, TableInput={"Name": name, **order.properties["TableInput"]}
        )
    return Made(name)


def _change_table(order: Order) -> Made:
    database, name = order.properties["DatabaseName"], order.physical_id
    if iceberg_input := order.properties.get("OpenTableFormatInput", {}).get("IcebergInput"):
        iceberg.evolve(order.cloud, database, name, iceberg_input["IcebergTableInput"])
    else:
        given = {"Name": name, **order.properties["TableInput"]}
        order.call("glue", "update_table", DatabaseName=database, TableInput=given)
    return Made(name)


def _remove_table(order: Order) -> None:
    order.call("glue", "delete_table", DatabaseName=order.properties["DatabaseName"], Name=order.physical_id)


def _make_job(order: Order) -> Made:
    name = order.name("Name", 255)
    order.call("glue", "create_job", Name=name, Tags=order.tags(), **_job(order))
    return Made(name)


def _job(order: Order) -> dict[str, Any]:
    kept = order.without("Name", "Tags")
    if "Command" in kept:  # CloudFormation reads the Python version as a number
        kept["Command"] = {key: str(value) for key, value in kept["Command"].items()}
    return kept


def _change_job(order: Order) -> Made:
    order.call("glue", "update_job", JobName=order.physical_id, JobUpdate=_job(order))
    return Made(order.physical_id)


def _remove_job(order: Order) -> None:
    order.call("glue", "delete_job", JobName=order.physical_id)


def _make_trigger(order: Order) -> Made:
    name = order.name("Name", 255)
    order.call("glue", "create_trigger", Name=name, Tags=order.tags(), **order.without("Name", "Tags"))
    return Made(name)


def _remove_trigger(order: Order) -> None:
    order.call("glue", "delete_trigger", Name=order.physical_id)


def _make_security(order: Order) -> Made:
    order.call("glue", "create_security_configuration", **order.properties)
    return Made(order.properties["Name"])


def _remove_security(order: Order) -> None:
    order.call("glue", "delete_security_configuration", Name=order.physical_id)


_TABLE_FIXED = frozenset({"DatabaseName", "CatalogId", "Name"})

KINDS = {
    "AWS::Glue::Database": Kind(_make_database, _remove_database, _change_database, frozenset({"DatabaseName"})),
    "AWS::Glue::Table": Kind(_make_table, _remove_table, _change_table, _TABLE_FIXED),
    "AWS::Glue::Job": Kind(_make_job, _remove_job, _change_job, frozenset({"Name"})),
    "AWS::Glue::Trigger": Kind(_make_trigger, _remove_trigger),
    "AWS::Glue::SecurityConfiguration": Kind(_make_security, _remove_security),
}
