"""The numbers that the platform watches.  To add one, declare it here; monitoring and docs find it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

NAMESPACE = "Rivermill"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that rings an alarm when its sum over five minutes goes above `limit`, if it has one.

    `statistic`: what to take instead of the sum, where a number is a level.
    """

    name: str
    doc: str
    unit: str = "Count"
    limit: float | None = None
    statistic: str = "Sum"

    def emit(self, value: float, now: float | None = None) -> None:
        """Print the value as an embedded-metric log line (CloudWatch EMF specification); CloudWatch does the rest.

        `now` is in seconds since the epoch.
        """
        milliseconds = int((time.time() if now is None else now) * 1000)
        directive = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": self.name, "Unit": self.unit}]}
        print(json.dumps({"_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}, self.name: value}))


RECEIVED = Metric("Received", "Records that consumers were handed.")
LANDED = Metric("Landed", "Records that became rows of a data file.")
QUARANTINED = Metric("Quarantined", "Records set aside with their bytes and the reason.", limit=10_000)
DUPLICATES = Metric("Duplicates", "Records handed over again and dropped.")
IMBALANCE = Metric("Imbalance", "Received less landed, quarantined and duplicate; must be nought.", limit=0)
COLLECTED = Metric("Collected", "Events that the REST front put on the stream.")
COLLECT_REFUSED = Metric("CollectRefused", "Requests to the REST front that were no events.", limit=10_000)
FILES_COMMITTED = Metric("FilesCommitted", "Data files registered in Iceberg tables.")
SHARDS = Metric("Shards", "Open shards of the stream.", statistic="Maximum")
SHARD_LOAD = Metric("ShardLoad", "The stream's load, of what its shards take.", unit="Percent", statistic="Maximum")
SHARD_CHANGES = Metric("ShardChanges", "Changes of the number of shards.")
STARVED = Metric("Starved", "Minutes in which load asked for more shards than may be had.", limit=3)
HOT_KEYS = Metric("HotKeys", "Partition keys that took half of what their shard takes, or more.", limit=0)
COMMIT_LAG = Metric("CommitLag", "Age of the oldest receipt not yet committed.", unit="Seconds", limit=900)
CONSERVATION_GAPS = Metric(
    "ConservationGaps", "What does not add up of a past day, counted again; must be nought.", limit=0
)
PREDICTIONS = Metric("Predictions", "Rows scored for a client.")
PREDICTIONS_REFUSED = Metric("PredictionsRefused", "Requests that broke their contract.", limit=1_000)
METRICS = (
    RECEIVED,
    LANDED,
    QUARANTINED,
    DUPLICATES,
    IMBALANCE,
    COLLECTED,
    COLLECT_REFUSED,
    FILES_COMMITTED,
    SHARDS,
    SHARD_LOAD,
    SHARD_CHANGES,
    STARVED,
    HOT_KEYS,
    COMMIT_LAG,
    CONSERVATION_GAPS,
    PREDICTIONS,
    PREDICTIONS_REFUSED,
)
