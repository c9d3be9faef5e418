"""What the serve stack tells its functions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class DeploySettings(Settings):
    """The endpoint, the role and the instances of its models, and alarms (names, commas between) that roll back."""

    endpoint: str
    role: str
    instance_type: str
    instance_count: str
    alarms: str


@dataclass(frozen=True, slots=True)
class PredictSettings(Settings):
    """The endpoint that scores."""

    endpoint: str
