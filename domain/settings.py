"""Carry settings from a stack to its runtime: the stack writes the dataclass, the runtime reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class MissingSetting(KeyError):
    """The environment lacks a setting that its stack should have written."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Ancestor of the settings that each runtime needs; every field is a string."""

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read what the stack wrote."""
        missing = [field.name.upper() for field in fields(cls) if field.name.upper() not in environ]
        if missing:
            raise MissingSetting(f"{cls.__name__}: the environment lacks {', '.join(missing)}; deploy the stack again")
        return cls(**{field.name: environ[field.name.upper()] for field in fields(cls)})

    def write(self) -> dict[str, str]:
        """Write the settings as environment variables."""
        return {name.upper(): value for name, value in asdict(self).items()}
