"""Monitor: a graph for every number, an alarm for every limit, a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from domain.metrics import DUPLICATES, IMBALANCE, LANDED, METRICS, NAMESPACE, QUARANTINED, RECEIVED, Metric
from stacks import names
from stacks.arns import state_machine_arn
from stacks.config import KAFKA, Config
from stacks.constructs.alarm import Alarm
from stacks.kafka import of_topic
from stacks.lake import LakeStack
from stacks.signals import FRONT, FUNCTIONS, JOBS, SERVING, STREAM, Signal, of_state_machine

PERIOD = Duration.minutes(5)
BREAKDOWNS = {
    "Received by shard": (RECEIVED, "Shard"),
    "Landed by shard": (LANDED, "Shard"),
    "Quarantined by reason": (QUARANTINED, "Reason"),
    "Duplicates by shard": (DUPLICATES, "Shard"),
    "Imbalance by shard": (IMBALANCE, "Shard"),
}
"""Numbers that their consumers also count by something: shards come and go, so the dashboard searches for them."""

WIDTH = 8  # of the dashboard's 24 columns


class MonitorStack(Stack):
    """Watch what the platform counts, and what AWS says of it."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: dashboard, alarms and budget")
        self.lake = lake
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=names.DASHBOARD)
        self._section("What the platform counts", {metric.name: count(metric) for metric in METRICS})
        self._section("The account, broken down", {name: broken_down(*by) for name, by in BREAKDOWNS.items()})
        signals = {
            "Stream": of_topic(config) if config.broker == KAFKA else STREAM,
            "REST front": FRONT,
            "The day": (*of_state_machine(state_machine_arn(self)), *JOBS),
            "Serving": SERVING,
            "Functions": FUNCTIONS,
        }
        for title, group in signals.items():
            self._section(title, {signal.id: graph(signal) for signal in group})
        self._alarms([signal for group in signals.values() for signal in group])
        budget(self, config.budget_usd, lake.notices.topic_arn)

    def _section(self, title: str, metrics: Mapping[str, cloudwatch.IMetric]) -> None:
        self.dashboard.add_widgets(cloudwatch.TextWidget(markdown=f"## {title}", width=24, height=1))
        graphs = [cloudwatch.GraphWidget(title=name, left=[metric], width=WIDTH) for name, metric in metrics.items()]
        for start in range(0, len(graphs), 24 // WIDTH):
            self.dashboard.add_widgets(*graphs[start : start + 24 // WIDTH])

    def _alarms(self, signals: Sequence[Signal]) -> None:
        for metric in METRICS:
            if metric.limit is not None:
                Alarm(
                    self,
                    f"{metric.name}TooHigh",
                    metric=count(metric),
                    limit=metric.limit,
                    meaning=f"{metric.name} above {metric.limit:g} in five minutes: {metric.doc}",
                    notices=self.lake.notices,
                )
        for signal in signals:
            if signal.limit is not None:
                Alarm(
                    self,
                    signal.id,
                    metric=graph(signal),
                    limit=signal.limit,
                    meaning=signal.meaning,
                    name=signal.alarm,
                    notices=self.lake.notices,
                )


def count(metric: Metric) -> cloudwatch.Metric:
    """Draw a number of ours over five minutes."""
    return cloudwatch.Metric(namespace=NAMESPACE, metric_name=metric.name, statistic=metric.statistic, period=PERIOD)


def broken_down(metric: Metric, by: str) -> cloudwatch.MathExpression:
    """Draw a number of ours by each value of one of its dimensions."""
    seconds = int(PERIOD.to_seconds())
    found = f"SEARCH('{{{NAMESPACE},{by}}} MetricName=\"{metric.name}\"', '{metric.statistic}', {seconds})"
    return cloudwatch.MathExpression(expression=found, using_metrics={}, label="", period=PERIOD)


def graph(signal: Signal) -> cloudwatch.Metric:
    """Draw a metric of AWS."""
    return cloudwatch.Metric(
        namespace=signal.namespace,
        metric_name=signal.name,
        dimensions_map=dict(signal.dimensions),
        statistic=signal.statistic,
        period=PERIOD,
    )


def budget(scope: Construct, usd: int, notices: str) -> budgets.CfnBudget:
    """Tell people when the month's bill nears, or is forecast to pass, what the stage may cost."""
    # L1: the module has no L2.
    return budgets.CfnBudget(
        scope,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_name=names.BUDGET,
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=usd, unit="USD"),
            cost_filters={"TagKeyValue": ["user:project$rivermill"]},
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=threshold,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=notices)],
            )
            for kind, threshold in (("ACTUAL", 80), ("FORECASTED", 100))
        ],
    )
