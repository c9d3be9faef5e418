"""CloudWatch alarms and dashboards, log groups and metric filters, budgets."""

from __future__ import annotations

from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order


def _put_alarm(order: Order) -> Made:
    name = order.physical_id or order.name("AlarmName", 255)
    order.call("cloudwatch", "put_metric_alarm", AlarmName=name, **order.without("AlarmName", "Tags"))
    return Made(name, {"Arn": order.arn("cloudwatch", f"alarm:{name}")})


def _put_composite_alarm(order: Order) -> Made:
    name = order.physical_id or order.name("AlarmName", 255)
    order.call("cloudwatch", "put_composite_alarm", AlarmName=name, **order.without("AlarmName", "Tags"))
    return Made(name, {"Arn": order.arn("cloudwatch", f"alarm:{name}")})


def _remove_alarm(order: Order) -> None:
    order.call("cloudwatch", "delete_alarms", AlarmNames=[order.physical_id])


def _put_dashboard(order: Order) -> Made:
    name = order.physical_id or order.name("DashboardName", 255)
    order.call("cloudwatch", "put_dashboard", DashboardName=name, DashboardBody=order.properties["DashboardBody"])
    return Made(name)


def _remove_dashboard(order: Order) -> None:
    order.call("cloudwatch", "delete_dashboards", DashboardNames=[order.physical_id])


def _make_log_group(order: Order) -> Made:
    name = order.name("LogGroupName", 512)
    key = {"kmsKeyId": order.properties["KmsKeyId"]} if "KmsKeyId" in order.properties else {}
    order.call("logs", "create_log_group", logGroupName=name, tags=order.tags(), **key)
    _retain(order, name)
    return Made(name, {"Arn": order.arn("logs", f"log-group:{name}:*")})


def _retain(order: Order, name: str) -> None:
    days = order.properties.get("RetentionInDays")
    if days is not None:
        order.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
    elif "RetentionInDays" in order.before:
        order.call("logs", "delete_retention_policy", logGroupName=name)


def _change_log_group(order: Order) -> Made:
    _retain(order, order.physical_id)
    return Made(order.physical_id, order.attributes)


def _remove_log_group(order: Order) -> None:
    order.call("logs", "delete_log_group", logGroupName=order.physical_id)


def _put_metric_filter(order: Order) -> Made:
    name = order.physical_id or order.name("FilterName", 512)
    transformations = [_transformation(item) for item in order.properties["MetricTransformations"]]
    group, pattern = order.properties["LogGroupName"], order.properties["FilterPattern"]
    order.call(
        "logs",
        "put_metric_filter",
        filterName=name,
        logGroupName=group,
        filterPattern=pattern,
        metricTransformations=transformations,
    )
    return Made(name)


def _transformation(given: dict[str, Any]) -> dict[str, Any]:
    made = dict(given)
    if dimensions := made.get("Dimensions"):
        made["Dimensions"] = {dimension["Key"]: dimension["Value"] for dimension in dimensions}
    return made


def _remove_metric_filter(order: Order) -> None:
    group = order.properties["LogGroupName"]
    order.call("logs", "delete_metric_filter", logGroupName=group, filterName=order.physical_id)


def _make_budget(order: Order) -> Made:
    budget = dict(order.properties["Budget"])
    budget["BudgetName"] = budget.get("BudgetName") or order.name("", 100)
    limit = budget.get("BudgetLimit")
    if limit:
        budget["BudgetLimit"] = {"Amount": str(limit["Amount"]), "Unit": limit["Unit"]}
    notices = order.properties.get("NotificationsWithSubscribers", [])
    order.call(
        "budgets", "create_budget", AccountId=order.cloud.account, Budget=budget, NotificationsWithSubscribers=notices
    )
    return Made(budget["BudgetName"])


def _remove_budget(order: Order) -> None:
    order.call("budgets", "delete_budget", AccountId=order.cloud.account, BudgetName=order.physical_id)


_ALARM_FIXED = frozenset({"AlarmName"})

KINDS = {
    "AWS::CloudWatch::Alarm": Kind(_put_alarm, _remove_alarm, _put_alarm, _ALARM_FIXED),
    "AWS::CloudWatch::CompositeAlarm": Kind(_put_composite_alarm, _remove_alarm, _put_composite_alarm, _ALARM_FIXED),
    "AWS::CloudWatch::Dashboard": Kind(_put_dashboard, _remove_dashboard, _put_dashboard, frozenset({"DashboardName"})),
    "AWS::Logs::LogGroup": Kind(_make_log_group, _remove_log_group, _change_log_group, frozenset({"LogGroupName"})),
    "AWS::Logs::MetricFilter": Kind(
        _put_metric_filter, _remove_metric_filter, _put_metric_filter, frozenset({"FilterName", "LogGroupName"})
    ),
    "AWS::Budgets::Budget": Kind(_make_budget, _remove_budget),
}
