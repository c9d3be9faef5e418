"""What the serve stack tells its functions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class DeploySettings(Settings):
    """The endpoint, the role and the instances of its models, and alarms (names, commas between) that roll back.

    `packages` is the ARN of the model packages, up to their versions.
    """

    endpoint: str
    role: str
    instance_type: str
    instance_count: str
    alarms: str
    packages: str


@dataclass(frozen=True, slots=True)
class PredictSettings(Settings):
    """The endpoint that scores, and the function that decides which of its models a unit gets."""

    endpoint: str
    decide: str
