"""Prove that contracts only grow: a version, once written down, gains optional fields at its end and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.events import Event
from domain.schema import Column

GOLDEN = Path(__file__).parent / "golden"
PROMISES = ("minimum", "above", "maximum", "min_length", "max_length", "choices")

Promise = dict[str, Any]
"""What a golden file says of one field."""


def golden_path(event: type[Event]) -> Path:
    """Find the file that holds what an event's version has promised."""
    return GOLDEN / f"{event.name}.v{event.version}.json"


def promise(column: Column) -> Promise:
    """Write down what a field promises; its doc and its privacy may change."""
    field = column.field
    bounds = {**{name: getattr(field, name) for name in PROMISES}, "choices": list(field.choices) or None}
    stated = {name: bound for name, bound in bounds.items() if bound is not None}
    return {"name": column.name, "type": column.iceberg_type, "required": column.required, **stated}


def promises(event: type[Event]) -> list[Promise]:
    """Write down what an event promises."""
    return [promise(column) for column in event.columns()]


def read_golden(event: type[Event]) -> list[Promise]:
    """Read what an event's version has promised."""
    golden: list[Promise] = json.loads(golden_path(event).read_text())
    return golden


def breaches(event: type[Event], golden: Sequence[Promise]) -> list[str]:
    """Say, field by field, what breaks the promise and how to mend it."""
    declared = promises(event)
    names, old_names = [field["name"] for field in declared], [field["name"] for field in golden]
    gone = [f"{event.name}.{name} is gone" for name in old_names if name not in names]
    added = [
        f"{event.name}.{field['name']} is new and required; make it optional (`| None`, default None)"
        for field in declared
        if field["name"] not in old_names and field["required"]
    ]
    found = gone or changes(event, declared, golden)
    fix = f"; restore it, or set {event.__name__}.version to {event.version + 1}"
    return [f"{breach}{fix}" for breach in found] + [f"{breach}, or raise the version" for breach in added]


def changes(event: type[Event], declared: Sequence[Promise], golden: Sequence[Promise]) -> list[str]:
    """Say which of the old fields has moved or changed."""
    now = {field["name"]: field for field in declared}
    changed = [
        f"{event.name}.{old['name']}: {name} was {old.get(name)!r} and is {now[old['name']].get(name)!r}"
        for old in golden
        for name in ("type", "required", *PROMISES)
        if old.get(name) != now[old["name"]].get(name)
    ]
    places = {field["name"]: place for place, field in enumerate(declared, start=1)}
    moved = [
        f"{event.name}.{old['name']} was field {place} and is field {places[old['name']]} (new fields go last)"
        for place, old in enumerate(golden, start=1)
        if places[old["name"]] != place
    ]
    return changed + moved[:1]
