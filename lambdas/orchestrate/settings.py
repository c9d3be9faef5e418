"""What the orchestrate stack tells its function."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings


@dataclass(frozen=True, slots=True)
class StartSettings(Settings):
    """The ARN of the state machine that runs a day."""

    state_machine: str
