"""What the ingest stack tells its functions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings

ON, OFF = "on", "off"


@dataclass(frozen=True, slots=True)
class ConsumeSettings(Settings):
    """Where records land, who may not come in; and with privacy on, where keys are and what wraps them."""

    bucket: str
    privacy: str = OFF
    keys: str = ""
    subjects: str = ""
    privacy_key: str = ""
    erasures: str = ""


@dataclass(frozen=True, slots=True)
class CollectSettings(Settings):
    """The stream, and the origins (commas between, or *) whose pages may post to it.

    With Kafka the topic, and the cluster (ARN) and the function that bridges to it; with Kinesis neither.
    """

    stream: str
    origins: str
    cluster: str = ""
    bridge: str = ""


@dataclass(frozen=True, slots=True)
class BridgeSettings(Settings):
    """The consumer group in whose name a topic is read; it commits nothing, and is never joined."""

    group: str


@dataclass(frozen=True, slots=True)
class CommitSettings(Settings):
    """Where receipts and data files are."""

    bucket: str


@dataclass(frozen=True, slots=True)
class ScaleSettings(Settings):
    """The stream, the bounds of its shards, and where its changes are written down."""

    bucket: str
    stream: str
    floor: str
    ceiling: str


@dataclass(frozen=True, slots=True)
class WidenSettings(Settings):
    """The topic of a cluster (ARN), the partitions it may have, and the alarms of its lag and of its consumer."""

    cluster: str
    topic: str
    most: str
    lag: str
    failure: str


@dataclass(frozen=True, slots=True)
class SweepSettings(Settings):
    """Where data files are."""

    bucket: str


@dataclass(frozen=True, slots=True)
class RedriveSettings(Settings):
    """Where the quarantine rests, and where its records are sent again; with Kafka by way of a bridge."""

    bucket: str
    stream: str
    queue: str
    cluster: str = ""
    bridge: str = ""
    keys: str = ""
    subjects: str = ""
    privacy_key: str = ""


@dataclass(frozen=True, slots=True)
class ConserveSettings(Settings):
    """Where receipts and data files are, and the Athena workgroup that counts again."""

    bucket: str
    workgroup: str


@dataclass(frozen=True, slots=True)
class ReplaySettings(Settings):
    """The job that replays, and where it tells what it did."""

    bucket: str
    job: str
