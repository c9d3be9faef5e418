"""The one way in which this app rings: an alarm on a metric, and a notice when it goes off or is over."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct


class Alarm(cloudwatch.Alarm):
    """Ring when a metric stays above a limit for one of its periods; no data is no reason to ring."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        metric: cloudwatch.IMetric,
        limit: float,
        meaning: str,
        notices: sns.ITopic,
        name: str | None = None,
    ) -> None:
        super().__init__(
            scope,
            id,
            metric=metric,
            threshold=limit,
            alarm_description=meaning,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            alarm_name=name,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        self.add_alarm_action(actions.SnsAction(notices))
        self.add_ok_action(actions.SnsAction(notices))
