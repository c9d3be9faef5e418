"""What differs between the stages, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from stacks.capacity import Expected, Plan, plan


class RefusedConfig(ValueError):
    """A setting that no deployment can use: names the field, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting may be: a test, and its words."""

    test: Callable[[object], bool]
    words: str


def between(low: int, high: int) -> Allowed:
    """Allow the whole numbers from `low` to `high`."""
    return Allowed(lambda value: type(value) is int and low <= value <= high, f"a whole number from {low} to {high}")


def one_of(*choices: object) -> Allowed:
    """Allow the choices."""
    # The types are compared too, since True == 1.
    known = {(type(choice), choice) for choice in choices}
    return Allowed(lambda value: (type(value), value) in known, " or ".join(map(str, choices)))


JOB, OPTIMIZER = "job", "optimizer"  # who keeps the tables in shape: our Spark job, once a day, or Glue by itself
INSTANCES = one_of("ml.t2.medium", "ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.m5.4xlarge")
LOG_RETENTIONS = one_of(7, 14, 30, 90, 365, 731)
KINESIS, KAFKA = "kinesis", "kafka"
ON, OFF = "on", "off"
KAFKA_INSTANCES = one_of(
    "kafka.t3.small", "kafka.m7g.large", "kafka.m7g.xlarge", "kafka.m7g.2xlarge", "kafka.m7g.4xlarge"
)
KAFKA_BROKERS = Allowed(
    lambda value: type(value) is int and 2 <= value <= 30 and (value % 2 == 0 or value % 3 == 0),  # noqa: PLR2004
    "a multiple of 2 or 3 from 2 to 30, since brokers are spread over two or three zones",
)
PROVISIONED, ON_DEMAND = "provisioned", "on-demand"
MOST_SHARDS = 1000  # as few as 1,024: ten doublings, a day's changes, reach it from one
RATE = between(1, 10_000)  # requests a second; an account has 10,000 in a region, unless AWS was asked for more
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?")
ORIGINS = Allowed(
    lambda value: isinstance(value, tuple) and (value == ("*",) or all(ORIGIN.fullmatch(str(each)) for each in value)),
    "a tuple of origins such as 'https://shop.example', or ('*',) for every page",
)
PLACEHOLDER = "https://www.example.com"
"""Stands in prod for the pages that only its owner knows; no deployment takes it."""

CLIENTS = Allowed(
    lambda value: (
        isinstance(value, tuple)
        and len(set(value)) == len(value) > 0
        and all(re.fullmatch("[a-z]{1,20}", str(each)) for each in value)
    ),
    "a tuple of different names, each of 1 to 20 lower-case letters",
)


def or_derived(allowed: Allowed) -> Allowed:
    """Allow None too: what the load expected asks for."""
    return Allowed(
        lambda value: value is None or allowed.test(value), f"{allowed.words}, or None to derive it from the load"
    )


EXPECTED = {
    "events_per_second": between(1, 10_000_000),
    "peak_events_per_second": between(1, 10_000_000),
    "event_bytes": between(32, 1_000_000),
    "producers": between(1, 1_000_000),
    "framed": one_of(True, False),
    "file_kb": between(1, 131_072),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one stage; a field is here only if two stages differ in it, or if it is a switch.

    `shards`, `batch_window_seconds` and `frame_kb` follow from the load that is `expected` where they are None (see
    `capacity`).
    """

    stage: str
    capacity: str
    expected: Expected
    shards: int | None
    stream_hours: int
    batch_window_seconds: int | None
    frame_kb: int | None
    fan_out: bool
    buckets: int
    compaction: str
    keep_data: bool
    log_days: int
    glue_workers: int
    glue_worker: str
    training_instance: str
    endpoint_instance: str
    endpoint_instances: int
    front_clients: tuple[str, ...]
    front_origins: tuple[str, ...]
    front_rate: int
    front_quota: int
    front_firewall: bool
    budget_usd: int
    broker: str = KINESIS
    kafka_brokers: int = 2
    kafka_instance: str = "kafka.t3.small"
    kafka_gigabytes: int = 20
    kafka_partitions: int = 4
    kafka_most_partitions: int = 16
    erasure_max_days: int = 30
    privacy: str = ON
    masking: str = OFF

    def __post_init__(self) -> None:
        """Refuse a value that cannot be deployed."""
        for field in fields(self):
            value, allowed = getattr(self, field.name), ALLOWED[field.name]
            if not allowed.test(value):
                raise RefusedConfig(f"Config.{field.name} is {value!r}; allowed: {allowed.words}")
        for field in fields(self.expected):
            value, allowed = getattr(self.expected, field.name), EXPECTED[field.name]
            if not allowed.test(value):
                raise RefusedConfig(f"Config.expected.{field.name} is {value!r}; allowed: {allowed.words}")
        self._check_scale()

    def _check_scale(self) -> None:
        """Refuse what is sound by itself and not together."""
        usual, peak = self.expected.events_per_second, self.expected.peak_events_per_second
        if peak < usual:
            said = f"Config.expected.peak_events_per_second is {peak}"
            raise RefusedConfig(f"{said}; allowed: at least {usual}, the usual rate")
        if self.kafka_most_partitions < self.kafka_partitions:
            said = f"Config.kafka_most_partitions is {self.kafka_most_partitions}"
            raise RefusedConfig(f"{said}; allowed: at least {self.kafka_partitions}, those that it begins with")
        if self.capacity == ON_DEMAND:
            if self.shards is not None:
                raise RefusedConfig(f"Config.shards is {self.shards}; allowed: None, since the stream is on demand")
            return
        if self.plan.ceiling > MOST_SHARDS:
            raise RefusedConfig(
                f"Config.expected.peak_events_per_second is {peak}, which needs {self.plan.ceiling:,} shards; "
                f"allowed: what {MOST_SHARDS:,} shards take, or capacity {ON_DEMAND!r}"
            )

    @property
    def plan(self) -> Plan:
        """Shards, frames and window, given or derived."""
        return plan(
            self.expected,
            shards=self.shards,
            window_seconds=self.batch_window_seconds,
            frame_kb=self.frame_kb,
        )


ALLOWED = {
    "stage": one_of("dev", "prod"),
    "capacity": one_of(PROVISIONED, ON_DEMAND),
    "expected": Allowed(lambda value: isinstance(value, Expected), "an Expected, of stacks.capacity"),
    "shards": or_derived(between(1, MOST_SHARDS)),
    "stream_hours": between(24, 8760),
    "batch_window_seconds": or_derived(between(0, 300)),
    "frame_kb": or_derived(between(1, 1024)),
    "fan_out": one_of(True, False),
    "buckets": between(1, 1024),
    "compaction": one_of(JOB, OPTIMIZER),
    "keep_data": one_of(True, False),
    "log_days": LOG_RETENTIONS,
    "glue_workers": between(2, 299),
    "glue_worker": one_of("G.1X", "G.2X", "G.4X", "G.8X"),
    "training_instance": INSTANCES,
    "endpoint_instance": INSTANCES,
    "endpoint_instances": between(1, 100),
    "front_clients": CLIENTS,
    "front_origins": ORIGINS,
    "front_rate": RATE,
    "front_quota": between(1, 2**31 - 1),
    "front_firewall": one_of(True, False),
    "budget_usd": between(1, 1_000_000),
    "broker": one_of(KINESIS, KAFKA),
    "kafka_brokers": KAFKA_BROKERS,
    "kafka_instance": KAFKA_INSTANCES,
    "kafka_gigabytes": between(1, 1638),  # a volume grows tenfold at most, and MSK's hold 16 TiB
    "kafka_partitions": between(1, 1000),
    "kafka_most_partitions": between(1, 1000),
    "erasure_max_days": between(1, 3650),
    "privacy": one_of(ON, OFF),
    "masking": one_of(ON, OFF),
}

CONFIGS = {
    config.stage: config
    for config in (
        Config(
            stage="dev",
            capacity=PROVISIONED,
            expected=Expected(events_per_second=1_000, peak_events_per_second=8_000, framed=False),
            shards=4,
            stream_hours=24,
            batch_window_seconds=5,
            frame_kb=256,
            fan_out=False,
            buckets=4,
            compaction=JOB,
            keep_data=False,
            log_days=14,
            glue_workers=2,
            glue_worker="G.1X",
            training_instance="ml.m5.large",
            endpoint_instance="ml.m5.large",
            endpoint_instances=1,
            front_clients=("web",),
            front_origins=("*",),
            front_rate=500,
            front_quota=1_000_000,
            front_firewall=False,
            budget_usd=500,
        ),
        Config(
            stage="prod",
            capacity=ON_DEMAND,
            expected=Expected(events_per_second=10_000, peak_events_per_second=40_000, producers=20),
            shards=None,
            stream_hours=168,
            batch_window_seconds=None,
            frame_kb=None,
            fan_out=False,
            buckets=64,
            compaction=OPTIMIZER,
            keep_data=True,
            log_days=30,
            glue_workers=10,
            glue_worker="G.2X",
            training_instance="ml.m5.2xlarge",
            endpoint_instance="ml.m5.xlarge",
            endpoint_instances=2,
            front_clients=("web", "devices"),
            front_origins=(PLACEHOLDER,),
            front_rate=1_000,
            front_quota=100_000_000,
            front_firewall=True,
            budget_usd=10_000,
            kafka_brokers=3,
            kafka_instance="kafka.m7g.large",
            kafka_gigabytes=100,
            kafka_partitions=32,
            kafka_most_partitions=128,
        ),
    )
}


def config_of(stage: object) -> Config:
    """Find the settings of a stage; raise RefusedConfig, with the stages there are, for another name."""
    if isinstance(stage, str) and stage in CONFIGS:
        return CONFIGS[stage]
    raise RefusedConfig(f"stage is {stage!r}; allowed: {' or '.join(CONFIGS)} (cdk … -c stage=dev)")


def with_origins(config: Config, origins: object) -> Config:
    """Give a stage the origins that the command line names, commas between; raise RefusedConfig for the placeholder."""
    config = config if origins is None else replace(config, front_origins=tuple(str(origins).split(",")))
    if PLACEHOLDER in config.front_origins:
        raise RefusedConfig(
            f"Config.front_origins is {config.front_origins!r}, a placeholder; write whose pages may post events, such "
            "as 'https://shop.example' (cdk … -c front_origins=https://shop.example,https://www.shop.example)"
        )
    return config


def with_said(config: Config, **said: object) -> Config:
    """Give a stage what the command line says of its settings, if it does (cdk … -c broker=kafka -c masking=on)."""
    return replace(config, **{name: value for name, value in said.items() if value is not None})  # type: ignore[arg-type]  # checked by Config
