"""Read a template: its resources, what each of them refers to, and the order in which they are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import yaml  # type: ignore[import-untyped]

Template = dict[str, Any]

_SUBSTITUTION = re.compile(r"\$\{([^!${}][^{}]*)\}")


class TemplateError(Exception):
    """The template or the request is wrong; the message names the place and the fix."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with CloudFormation's short forms, and with dates left as text."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)


def parse(body: str) -> Template:
    """Read JSON or YAML. Raises `TemplateError`."""
    try:
        template = json.loads(body) if body.lstrip().startswith("{") else yaml.load(body, _Loader)  # noqa: S506 - safe
    except (ValueError, yaml.YAMLError) as fault:
        raise TemplateError(f"Template format error: {fault}") from fault
    if not isinstance(template, dict) or not template.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    return template


def references(value: Any) -> Iterator[str]:
    """Yield the names that a part of a template refers to by Ref, GetAtt or Sub."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for name, argument in value.items():
            yield from _references_of(name, argument)


def _references_of(name: str, argument: Any) -> Iterator[str]:
    if name == "Ref" and isinstance(argument, str):
        yield argument
    elif name == "Fn::GetAtt":
        yield argument.partition(".")[0] if isinstance(argument, str) else argument[0]
    elif name == "Fn::Sub":
        yield from _references_of_sub(argument)
    else:
        yield from references(argument)


def _references_of_sub(argument: Any) -> Iterator[str]:
    text, values = (argument, {}) if isinstance(argument, str) else argument
    yield from references(values)
    for found in _SUBSTITUTION.findall(text):
        if found not in values:
            yield found.partition(".")[0]


def in_order(resources: Mapping[str, Any]) -> list[str]:
    """List logical ids such that each stands after all that it depends on. Raises `TemplateError` on a cycle."""
    try:
        return list(
            TopologicalSorter(
                {name: _needs(resource, resources) for name, resource in resources.items()}
            ).static_order()
        )
    except CycleError as cycle:
        raise TemplateError(f"Circular dependency between resources: {cycle.args[1]}") from cycle


def _needs(resource: Mapping[str, Any], resources: Mapping[str, Any]) -> list[str]:
    explicit = resource.get("DependsOn", [])
    explicit = [explicit] if isinstance(explicit, str) else explicit
    # Sorted: two deployments of one template make the same things in the same order.
    return sorted({name for name in [*references(resource.get("Properties")), *explicit] if name in resources})
