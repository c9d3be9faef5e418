"""Check a request for a decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from domain.experiment.declaration import Experiment
from domain.experiment.features import InvalidContext, Value, vector
from domain.serve.refusal import InvalidRequest

BYTES_MAX = 65_536
UNIT_MAX = 128  # as long as the contract's user_id
FIELDS = ("experiment", "unit", "context")
SHAPE = 'send {"experiment": "…", "unit": "…", "context": {"key": "value"}}'


class Asked(NamedTuple):
    """A request that keeps the contract."""

    experiment: Experiment
    unit: str
    context: Mapping[str, Value]
    features: tuple[int, ...] = ()


def read(body: bytes, experiments: Mapping[str, Experiment]) -> Asked:
    """Read a request's body; raise InvalidRequest for the first fault found, with status 404 for no such experiment.

    >>> read(b'{"experiment": "ranking", "unit": ""}', {})
    Traceback (most recent call last):
    domain.serve.refusal.InvalidRequest: unit: is not text of 1 to 128 characters; send who or what is to be assigned
    """
    said = _object(body)
    unit = _unit(said.get("unit"))
    name = said.get("experiment")
    if not isinstance(name, str):
        raise InvalidRequest("is not text", field="experiment", value=name, fix="send an experiment's name")
    if name not in experiments:
        fix = f"send one of {', '.join(sorted(experiments))}"
        raise InvalidRequest("is not declared", field="experiment", value=name, fix=fix, status=404)
    experiment = experiments[name]
    context = _context(said.get("context", {}), experiment)
    return Asked(experiment, unit, context, _features(experiment, context))


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as broken:
        raise InvalidRequest("is not JSON", field="body", value=str(broken), fix="send UTF-8 JSON") from None
    if not isinstance(said, dict):
        raise InvalidRequest("is not an object", field="body", value=type(said).__name__, fix=SHAPE)
    for name in said:
        if name not in FIELDS:
            raise InvalidRequest("is no field", field=name, value=said[name], fix=SHAPE)
    return said


def _unit(unit: object) -> str:
    if not isinstance(unit, str) or not 1 <= len(unit) <= UNIT_MAX or not _is_encodable(unit):
        fix = "send who or what is to be assigned"
        raise InvalidRequest(f"is not text of 1 to {UNIT_MAX} characters", field="unit", value=unit, fix=fix)
    return unit


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _context(context: object, experiment: Experiment) -> Mapping[str, Value]:
    if not isinstance(context, dict):
        raise InvalidRequest("is not an object", field="context", value=context, fix="send values by their keys")
    declared = {feature.key for feature in experiment.features}
    for key, value in context.items():
        if key not in declared and not isinstance(value, str):
            raise InvalidRequest("is not text", field=f"context.{key}", value=value, fix="send text")
    return context


def _features(experiment: Experiment, context: Mapping[str, Value]) -> tuple[int, ...]:
    if not experiment.features:
        return ()
    try:
        return vector(experiment.features, context)
    except InvalidContext as invalid:
        value = context.get(invalid.key)
        raise InvalidRequest(invalid.fault, field=f"context.{invalid.key}", value=value, fix=invalid.fix) from None
