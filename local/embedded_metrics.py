"""Read CloudWatch's embedded metric format from a function's log.

Source: Amazon CloudWatch User Guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def embedded(line: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (namespace, datum as PutMetricData takes it) for each metric and dimension set of a log line.

    A line that is no embedded metric yields nothing.
    """
    if not line.startswith("{") or '"_aws"' not in line:
        return []
    try:
        written = json.loads(line)
    except ValueError:
        return []  # a log line may look like JSON and not be
    described = written.get("_aws")
    if not isinstance(described, dict):
        return []
    moment = datetime.fromtimestamp(described.get("Timestamp", 0) / 1000, UTC).replace(tzinfo=None)
    return [
        (directive["Namespace"], _datum(written, metric, dimensions, moment))
        for directive in described.get("CloudWatchMetrics", ())
        for metric in directive.get("Metrics", ())
        if metric["Name"] in written
        for dimensions in directive.get("Dimensions") or [[]]
    ]


def _datum(written: dict[str, Any], metric: dict[str, Any], dimensions: list[str], moment: datetime) -> dict[str, Any]:
    value = written[metric["Name"]]
    return {
        "MetricName": metric["Name"],
        "Unit": metric.get("Unit", "None"),
        "Dimensions": [{"Name": name, "Value": str(written[name])} for name in dimensions if name in written],
        "Timestamp": moment,
        **({"Values": value} if isinstance(value, list) else {"Value": value}),
    }
