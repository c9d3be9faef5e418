"""What the privacy stack tells its functions."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class RequestSettings(Settings):
    """Where requests are kept, the key that seals them, what works on them, and within how many days."""

    erasures: str
    erasure_key: str
    machine: str
    erasure_max_days: str
    keys: str = ""
    privacy_key: str = ""
    subjects: str = ""


@dataclass(frozen=True, slots=True)
class ErasureSettings(Settings):
    """Every store that may hold a person, the keys, and for how long stores keep what cannot be deleted."""

    bucket: str
    erasures: str
    subjects: str
    decisions: str
    erasure_key: str
    signing_key: str
    model_package_group: str
    jobs: str
    stream_hours: str
    recovery_days: str
    log_days: str
    erasure_max_days: str
    keys: str = ""
    privacy_key: str = ""


@dataclass(frozen=True, slots=True)
class DetokenizeSettings(Settings):
    """Where keys are, and what wraps them."""

    keys: str
    subjects: str
    privacy_key: str
