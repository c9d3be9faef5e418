"""Composite alarms for moto's CloudWatch, which shows them but has no call that makes them."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import EmptyResult

from local.cloud import Cloud


def install(_: Cloud) -> None:
    """Answer PutCompositeAlarm. The alarms that its rule names are real; the rule itself is kept, not evaluated."""
    CloudWatchResponse.put_composite_alarm = _put_composite_alarm


def _put_composite_alarm(response: Any) -> EmptyResult:
    def given(name: str, default: Any = None) -> Any:
        return response._get_param(name, default)

    response.cloudwatch_backend.put_metric_alarm(
        name=given("AlarmName"),
        rule=given("AlarmRule"),
        description=given("AlarmDescription", ""),
        alarm_actions=given("AlarmActions", []),
        ok_actions=given("OKActions", []),
        insufficient_data_actions=given("InsufficientDataActions", []),
        actions_enabled=given("ActionsEnabled", True),
        tags=given("Tags", []),
        namespace=None,
        metric_name=None,
        comparison_operator=None,
        evaluation_periods=None,
        period=None,
        threshold=None,
        statistic=None,
        dimensions=[],
    )
    return EmptyResult()
