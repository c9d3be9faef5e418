"""Dataclasses whose fields are arrays of equal length: a table's columns, checked by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Table = TypeVar("Table")


def take(table: Table, rows: Any) -> Table:
    """Keep some rows: `rows` is a mask, a slice or indices."""
    return type(table)(**{name: getattr(table, name)[rows] for name in _names(table)})


def join(parts: list[Table]) -> Table:
    """Put tables of one kind one after another; there must be at least one."""
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _names(parts[0])}
    return type(parts[0])(**columns)


def _names(table: Any) -> list[str]:
    return [field.name for field in fields(table)]
