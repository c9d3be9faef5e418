"""How a resource type is made, changed and removed, and how template values become a call's arguments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import Cloud

Properties = dict[str, Any]


class Unfit(Exception):
    """A property has no place in the call that makes the resource; the message names it."""


@dataclass(frozen=True, slots=True)
class Order:
    """One resource to make, change or remove: whose it is, its properties now and, on a change, before."""

    cloud: Cloud
    stack: str
    logical_id: str
    type: str
    properties: Properties
    stack_tags: Mapping[str, str] = field(default_factory=dict)
    generation: str = ""
    physical_id: str = ""
    before: Properties = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def name(self, property: str, limit: int = 64, *, lower: bool = False) -> str:
        """Return the name that the template gives, else one made of stack, logical id and a digest."""
        if given := self.properties.get(property):
            return str(given)
        digest = hashlib.sha256(f"{self.stack}/{self.logical_id}/{self.generation}".encode()).hexdigest()[:12]
        name = f"{f'{self.stack}-{self.logical_id}'[: limit - 13].rstrip('-')}-{digest}"
        return name.lower() if lower else name

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call the service, with arguments fitted to what the operation takes."""
        client = self.cloud.client(service)
        shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        return getattr(client, operation)(**fit(shape, arguments, self.type))

    def tags(self) -> dict[str, str]:
        """Return the resource's own tags over the stack's."""
        own = self.properties.get("Tags") or {}
        listed = own if isinstance(own, dict) else {tag["Key"]: tag["Value"] for tag in own}
        return {**self.stack_tags, **listed}

    def tag_list(self) -> list[dict[str, str]]:
        """Return the tags as a list of Key and Value."""
        return [{"Key": key, "Value": value} for key, value in self.tags().items()]

    def without(self, *names: str) -> Properties:
        """Return the properties but for these."""
        return {key: value for key, value in self.properties.items() if key not in names}

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:aws:{service}:{self.cloud.region}:{self.cloud.account}:{resource}"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of an order: the physical id, the attributes for GetAtt, and what Ref returns if not the id."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type: how it is made, removed and changed; `fixed` properties change only by replacement.

    Without `change`, every change is a replacement.
    """

    make: Callable[[Order], Made]
    remove: Callable[[Order], None]
    change: Callable[[Order], Made] | None = None
    fixed: frozenset[str] = frozenset()

    def replaces(self, changed: Collection[str]) -> bool:
        """Say whether a change of these properties needs a new resource."""
        return self.change is None or not self.fixed.isdisjoint(changed)


def keep(order: Order) -> None:
    """Remove nothing: what the resource described goes with another one."""


inert = Kind(lambda order: Made(order.name("", 60)), keep, lambda order: Made(order.physical_id, order.attributes))

_GONE = ("NotFound", "NoSuch", "NonExist", "EntityNotFound", "does not exist", "ValidationException")


def gone(failure: ClientError) -> bool:
    """Say whether a service refused because the thing is not there."""
    error = failure.response["Error"]
    return any(word in f"{error.get('Code')} {error.get('Message')}" for word in _GONE) or "not found" in str(failure)


def fit(shape: Any, value: Any, where: str) -> Any:
    """Turn a template's value into what an API's shape takes: names by case, text to numbers, objects to JSON.

    Raises `Unfit` for a property that the shape does not have: it would be dropped in silence otherwise.
    """
    if shape.type_name == "structure":
        return _fit_structure(shape, value, where)
    if shape.type_name == "list":
        return [fit(shape.member, item, where) for item in (value if isinstance(value, list) else [value])]
    if shape.type_name == "map":
        return {key: fit(shape.value, item, f"{where}.{key}") for key, item in value.items()}
    return _fit_scalar(shape.type_name, value)


def _fit_structure(shape: Any, value: Any, where: str) -> Any:
    if getattr(shape, "is_document_type", False) or not isinstance(value, dict):
        return value
    by_lower = {name.lower(): name for name in shape.members}
    fitted = {}
    for key, item in value.items():
        name = key if key in shape.members else by_lower.get(key.lower())
        if name is None:
            raise Unfit(f"{where}.{key}: the call that makes it takes no such property; check its spelling")
        fitted[name] = fit(shape.members[name], item, f"{where}.{key}")
    return fitted


def _fit_scalar(kind: str, value: Any) -> Any:
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind == "string":
        return _text(value)
    return value.encode() if kind == "blob" and isinstance(value, str) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)
