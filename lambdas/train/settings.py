"""What the train stack tells its functions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class PlanSettings(Settings):
    """The lake's bucket, the model package group, and the URL of the packaged baseline's `model.tar.gz`."""

    bucket: str
    model_package_group: str
    baseline_model: str


@dataclass(frozen=True, slots=True)
class RegisterSettings(Settings):
    """The model package group; the image, its environment (JSON) and the instance type that serve its models."""

    model_package_group: str
    image: str
    environment: str
    instance_type: str
