"""The numbers that the platform watches.  To add one, declare it here; monitoring and docs find it."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

NAMESPACE = "Rivermill"


class Metric(NamedTuple):
    """A number that rings an alarm when its sum over five minutes goes above `limit`, if it has one.

    `statistic`: what to take instead of the sum, where a number is a level.
    """

    name: str
    doc: str
    unit: str = "Count"
    limit: float | None = None
    statistic: str = "Sum"

    def emit(self, value: float, now: float | None = None, **by: str) -> None:
        """Print the value as an embedded-metric log line (CloudWatch EMF specification); CloudWatch does the rest.

        `now` is in seconds since the epoch.  The value counts in the whole, and by each of `by`: Shard="…".
        """
        milliseconds = int((time.time() if now is None else now) * 1000)
        sets = [[], *([name] for name in by)]
        directive = {"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": [{"Name": self.name, "Unit": self.unit}]}
        aws = {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}
        print(json.dumps({"_aws": aws, **by, self.name: value}))


RECEIVED = Metric("Received", "Records that consumers were handed.")
LANDED = Metric("Landed", "Records that became rows of a data file.")
QUARANTINED = Metric("Quarantined", "Records set aside with their bytes and the reason.", limit=10_000)
DUPLICATES = Metric("Duplicates", "Records handed over again and dropped.")
LATE = Metric("Late", "Events landed more than an hour after they happened.")
IMBALANCE = Metric("Imbalance", "Received less landed, quarantined and duplicate; must be nought.", limit=0)
COLLECTED = Metric("Collected", "Events that the REST front put on the stream.")
COLLECT_REFUSED = Metric("CollectRefused", "Requests to the REST front that were no events.", limit=10_000)
FILES_COMMITTED = Metric("FilesCommitted", "Data files registered in Iceberg tables.")
FILE_BYTES = Metric("FileBytes", "Mean size of the data files registered.", unit="Bytes", statistic="Average")
SHARDS = Metric("Shards", "Open shards of the stream.", statistic="Maximum")
SHARD_LOAD = Metric("ShardLoad", "The stream's load, of what its shards take.", unit="Percent", statistic="Maximum")
SHARD_CHANGES = Metric("ShardChanges", "Changes of the number of shards.")
STARVED = Metric("Starved", "Minutes in which load asked for more shards than may be had.", limit=3)
PARTITIONS = Metric("Partitions", "Partitions of the topic.", statistic="Maximum")
HOT_KEYS = Metric("HotKeys", "Partition keys that took half of what their shard takes, or more.", limit=0)
COMMIT_LAG = Metric("CommitLag", "Age of the oldest receipt not yet committed.", unit="Seconds", limit=900)
CONSERVATION_GAPS = Metric(
    "ConservationGaps", "What does not add up of a past day, counted again; must be nought.", limit=0
)
PREDICTIONS = Metric("Predictions", "Rows scored for a client.")
PREDICTIONS_REFUSED = Metric("PredictionsRefused", "Requests that broke their contract.", limit=1_000)
DECISIONS = Metric("Decisions", "Decisions for units of experiments.")
DECISIONS_REFUSED = Metric("DecisionsRefused", "Requests for a decision that broke their contract.", limit=1_000)
DECISIONS_FALLBACK = Metric(
    "DecisionsFallback",
    "Decisions by weights that could not be read anew, or the control for want of a store.",
    limit=100,
)
EXPOSURES_LOST = Metric("ExposuresLost", "Exposures that the stream did not take.", limit=100)
REWARDS_COUNTED = Metric("RewardsCounted", "Rewards that bandits learn from.")
FEEDBACK_REFUSED = Metric(
    "FeedbackRefused", "Rewards and exposures that fit no decision, with the reason; none counts.", limit=10_000
)
ERASURE_TIME = Metric(
    "ErasureTime",
    "How much of the time allowed the oldest erasure that is not done has taken.",
    unit="Percent",
    limit=66,
    statistic="Maximum",
)
ERASURES_OVERDUE = Metric(
    "ErasuresOverdue", "Erasures that are not done by their due date.", limit=0, statistic="Maximum"
)
METRICS = (
    RECEIVED,
    LANDED,
    QUARANTINED,
    DUPLICATES,
    LATE,
    IMBALANCE,
    COLLECTED,
    COLLECT_REFUSED,
    FILES_COMMITTED,
    FILE_BYTES,
    SHARDS,
    SHARD_LOAD,
    SHARD_CHANGES,
    STARVED,
    PARTITIONS,
    HOT_KEYS,
    COMMIT_LAG,
    CONSERVATION_GAPS,
    PREDICTIONS,
    PREDICTIONS_REFUSED,
    DECISIONS,
    DECISIONS_REFUSED,
    DECISIONS_FALLBACK,
    EXPOSURES_LOST,
    REWARDS_COUNTED,
    FEEDBACK_REFUSED,
    ERASURE_TIME,
    ERASURES_OVERDUE,
)
