"""Estimate what the platform costs in AWS a month, from its `Config` and a rate of events; `python -m stacks.cost`."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from stacks.config import CONFIGS, KAFKA, ON_DEMAND, Config

PRICED_ON = "2026-11-22"  # us-east-1, USD, list prices as written down on this day; check before you budget
HOURS = 730
SECONDS = HOURS * 3600

SHARD_HOUR = 0.015
PUT_UNITS_MILLION = 0.014  # payload units of 25 KB
STREAM_HOUR = 0.04
STREAM_GB_IN = 0.08  # each record rounded up to 1 KB
STREAM_GB_OUT = 0.04
BROKER_HOUR = {
    "kafka.t3.small": 0.0456,
    "kafka.m7g.large": 0.204,
    "kafka.m7g.xlarge": 0.408,
    "kafka.m7g.2xlarge": 0.816,
    "kafka.m7g.4xlarge": 1.632,
}
BROKER_GB_MONTH = 0.10
POLLER_UNIT_HOUR = 0.185  # ten pollers, or 20 MB/s, of a mapping from Kafka
POLLER_UNIT_MB = 20
Tiers = tuple[tuple[float, float], ...]
# API Gateway: up to so many million requests a month, USD a million.
REST_MILLION: Tiers = ((333, 3.50), (1_000, 2.80), (20_000, 2.38), (float("inf"), 1.51))
HTTP_MILLION: Tiers = ((300, 1.00), (float("inf"), 0.90))
FIREWALL_MONTH = 5.0 + 2 * 1.0  # a web ACL, and each of its rules
FIREWALL_MILLION = 0.60
LAMBDA_GB_SECOND = 0.0000133334  # arm64
LAMBDA_MILLION_REQUESTS = 0.20
S3_GB_MONTH = 0.023
S3_THOUSAND_PUTS = 0.005
DPU_HOUR = 0.44
INSTANCE_HOUR = {
    "ml.t2.medium": 0.056,
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
}
KEY_MONTH = 1.0
DASHBOARD_MONTH = 3.0
ALARM_MONTH = 0.10
METRIC_MONTH = 0.30

EVENT_KB = 1.0  # a plain JSON event with its partition key
INVOCATION_EVENTS = 3_279  # what 6 MB of payload hold of them (findings on ingestion, measured)
INVOCATION_SECONDS = 0.4 + INVOCATION_EVENTS / 40_000  # nine writes to S3, then decoding at the measured rate
INVOCATION_PUTS = 9  # a file an event type, and the receipt
CONSUMER_GB = 1.728  # 1,769 MB: one whole vCPU
STORED_BYTES = 160  # of an event: zstd Parquet, raw and curated
KEPT_MONTHS = 12
JOB_EVENTS_PER_DPU_SECOND = 10_000  # of the slowest of the four jobs in the demo, on two cores
JOB_START_HOURS = 1 / 60
JOBS = 4
TRAINING_HOURS_A_DAY = 0.25
FIXED = KEY_MONTH + DASHBOARD_MONTH + 25 * ALARM_MONTH + 12 * METRIC_MONTH


@dataclass(frozen=True, slots=True)
class Estimate:
    """USD a month, by what it is spent on."""

    stream: float
    consumers: float
    storage: float
    spark: float
    sagemaker: float
    fixed: float

    @property
    def total(self) -> float:
        """The whole bill."""
        return self.stream + self.consumers + self.storage + self.spark + self.sagemaker + self.fixed


def estimate(config: Config, events_per_second: float) -> Estimate:
    """Estimate a month at a steady rate of plain JSON events of 1 KB.

    >>> round(estimate(CONFIGS["prod"], 0).stream, 2)  # an idle on-demand stream
    29.2
    """
    events = events_per_second * SECONDS
    shards, window = config.shards or 1, max(config.plan.window_seconds, 1)
    invocations = max(events / INVOCATION_EVENTS, min(events, shards * SECONDS / window))
    return Estimate(
        stream=_stream(config, events_per_second),
        consumers=invocations * INVOCATION_SECONDS * CONSUMER_GB * LAMBDA_GB_SECOND
        + invocations / 1e6 * LAMBDA_MILLION_REQUESTS
        + invocations * INVOCATION_PUTS / 1e3 * S3_THOUSAND_PUTS,
        storage=events * STORED_BYTES / 1e9 * KEPT_MONTHS * S3_GB_MONTH,
        spark=_spark(config, events),
        sagemaker=INSTANCE_HOUR[config.endpoint_instance] * config.endpoint_instances * HOURS
        + INSTANCE_HOUR[config.training_instance] * TRAINING_HOURS_A_DAY * 30,
        fixed=FIXED + config.front_firewall * FIREWALL_MONTH,
    )


def table(config: Config, rates: tuple[int, ...] = (100, 1_000, 10_000)) -> str:
    """Write the estimates for several rates as a Markdown table."""
    names = ("stream", "consumers", "storage", "spark", "sagemaker", "fixed", "total")
    head = "| events a second | " + " | ".join(names) + " | per million events |"
    lines = [head, "|" + "---:|" * (len(names) + 2)]
    for rate in rates:
        found = estimate(config, rate)
        cells = " | ".join(f"{getattr(found, name):,.0f}" for name in names)
        lines.append(f"| {rate:,} | {cells} | {found.total / (rate * SECONDS / 1e6):.3f} |")
    return "\n".join(lines)


def _stream(config: Config, rate: float) -> float:
    events = rate * SECONDS
    if config.broker == KAFKA:
        return _topic(config, rate)
    if config.capacity == ON_DEMAND:
        gigabytes = events * ceil(EVENT_KB) * 1024 / 1e9
        return STREAM_HOUR * HOURS + gigabytes * (STREAM_GB_IN + STREAM_GB_OUT)
    shards = max(config.plan.shards, ceil(rate / 1000), ceil(rate * EVENT_KB / 1000))
    return shards * SHARD_HOUR * HOURS + events / 1e6 * PUT_UNITS_MILLION


def _topic(config: Config, rate: float) -> float:
    """Brokers, their volumes, and what polls them; more brokers than given are not assumed."""
    brokers = config.kafka_brokers * (BROKER_HOUR[config.kafka_instance] * HOURS)
    volumes = config.kafka_brokers * config.kafka_gigabytes * BROKER_GB_MONTH
    units = max(1, ceil(rate * EVENT_KB / 1000 / POLLER_UNIT_MB))
    return brokers + volumes + units * POLLER_UNIT_HOUR * HOURS


def _spark(config: Config, events: float) -> float:
    dpus = config.glue_workers * {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}[config.glue_worker]
    starting = 30 * JOBS * JOB_START_HOURS * dpus
    working = events * JOBS / JOB_EVENTS_PER_DPU_SECOND / 3600
    return (starting + working) * DPU_HOUR


if __name__ == "__main__":
    print(f"USD a month, us-east-1, list prices of {PRICED_ON}")  # noqa: T201 - it talks to a person
    for stage, config in CONFIGS.items():
        print(f"\n{stage}\n\n{table(config)}")  # noqa: T201
