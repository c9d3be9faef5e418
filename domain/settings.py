"""Carry settings from a stack to its runtime: the stack writes the dataclass, the runtime reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class MissingSetting(KeyError):
    """The environment lacks a setting that its stack should have written."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Ancestor of the settings that each runtime needs; every field is a string, left out where it is its default."""

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read what the stack wrote."""
        found = {field.name: environ[field.name.upper()] for field in fields(cls) if field.name.upper() in environ}
        missing = [field.name.upper() for field in fields(cls) if field.name not in found and field.default is MISSING]
        if missing:
            raise MissingSetting(f"{cls.__name__}: the environment lacks {', '.join(missing)}; deploy the stack again")
        return cls(**found)

    def write(self) -> dict[str, str]:
        """Write the settings as environment variables."""
        values = asdict(self)
        return {each.name.upper(): values[each.name] for each in fields(self) if values[each.name] != each.default}
