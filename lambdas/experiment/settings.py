"""What the experiment stack tells its functions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class DecideSettings(Settings):
    """Where decisions are kept, where bandits publish their shares, and the stream for exposures.

    With Kafka the topic, and the cluster (ARN) and the function that bridges to it.  With privacy on where data keys
    are, and what wraps them.
    """

    decisions: str
    bandits: str
    stream: str
    cluster: str = ""
    bridge: str = ""
    keys: str = ""
    privacy_key: str = ""


@dataclass(frozen=True, slots=True)
class LearnSettings(Settings):
    """Where receipts and data files are, where decisions are kept, and where bandits count and publish.

    With privacy on where data keys are, and what wraps them.
    """

    bucket: str
    decisions: str
    bandits: str
    keys: str = ""
    privacy_key: str = ""


@dataclass(frozen=True, slots=True)
class ReportSettings(Settings):
    """Where pages go, and the Athena workgroup that is asked for statistics."""

    bucket: str
    workgroup: str
