"""Check a request against the parameters and the model of its method. Source: guide, "Use request validation"."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft4Validator

from local.api_gateway.refusals import Refused
from local.api_gateway.requests import Request

JSON = "application/json"
MOST_DIGITS = 4_300
"""Digits of a whole number that Python reads: a model holds no bound beyond them."""


def check(request: Request, api: Any, method: Any) -> None:
    """Raise `Refused` for a request that its method's validator refuses."""
    if not method.request_validator_id:
        return
    validator = api.request_validators[method.request_validator_id]
    if validator.validate_request_parameters:
        _check_parameters(request, method.request_parameters or {})
    if validator.validate_request_body:
        _check_body(request, api, method.request_models or {})


def _check_parameters(request: Request, parameters: dict[str, Any]) -> None:
    missing = [
        name for name, needed in parameters.items() if str(needed).lower() == "true" and not _given(request, name)
    ]
    if missing:
        named = ", ".join(name.rpartition(".")[2] for name in missing)
        message = f"Missing required request parameters: [{named}]"
        raise Refused("BAD_REQUEST_PARAMETERS", named, message)


def _given(request: Request, parameter: str) -> Any:
    _, _, place, name = parameter.split(".", 3)
    return request.header(name) if place == "header" else request.query.get(name)


def _check_body(request: Request, api: Any, models: dict[str, str]) -> None:
    """A body is held to the model of its own content type; where there is none, to nothing."""
    kind = (request.header("content-type") or JSON).partition(";")[0].strip().lower()
    name = models.get(kind)
    if name is None:
        return
    [schema] = [json.loads(model.schema) for model in api.models.values() if model.name == name]
    try:
        body = json.loads(request.body.decode(errors="replace"), parse_int=_whole, parse_constant=_no_constant)
    except (ValueError, RecursionError) as broken:
        raise Refused("BAD_REQUEST_BODY", str(broken)) from broken
    faults = [fault.message for fault in Draft4Validator(schema).iter_errors(body)]
    if faults:
        raise Refused("BAD_REQUEST_BODY", f"[{', '.join(faults)}]"[:1024])


def _whole(digits: str) -> int:
    return int(digits[:MOST_DIGITS])


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")
