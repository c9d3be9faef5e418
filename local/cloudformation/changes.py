"""Work out what a change set would do, from the template that stands and the template to be."""

from __future__ import annotations

from typing import Any

from local.cloudformation.kinds import KINDS, refusal
from local.cloudformation.model import Change, Stack
from local.cloudformation.template import Template, TemplateError, references

NOTHING = "The submitted information didn't contain changes. Submit different information to create a change set."

_ATTRIBUTES = ("DeletionPolicy", "UpdateReplacePolicy", "Metadata", "CreationPolicy", "UpdatePolicy")


def refuse_unknown_types(template: Template) -> None:
    """Raise `TemplateError` that names every resource whose type cannot be made here."""
    unknown = [
        refusal(resource["Type"], logical_id)
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] not in KINDS
    ]
    if unknown:
        raise TemplateError("; ".join(unknown))


def between(stack: Stack, template: Template, parameters: dict[str, str], present: set[str]) -> tuple[Change, ...]:
    """List the changes from a stack to a template; `present` are the logical ids whose conditions hold."""
    old = stack.template.get("Resources", {})
    new = {name: resource for name, resource in template["Resources"].items() if name in present}
    moved = {name for name in {*parameters, *stack.parameters} if parameters.get(name) != stack.parameters.get(name)}
    changes = [_removal(stack, name) for name in stack.resources if name not in new]
    changes += [Change("Add", name, new[name]["Type"]) for name in new if name not in stack.resources]
    for name in [name for name in new if name in stack.resources]:
        if change := _modification(stack, name, old.get(name, {}), new[name], moved):
            changes.append(change)
            if change.replacement == "True":
                moved.add(name)
    return tuple(changes)


def differs(stack: Stack, template: Template, tags: dict[str, str]) -> bool:
    """Say whether outputs, tags or conditions differ, which a change set also carries."""
    sections = ("Outputs", "Conditions", "Mappings", "Parameters", "Rules", "Metadata", "Description")
    return tags != stack.tags or any(stack.template.get(name) != template.get(name) for name in sections)


def _removal(stack: Stack, name: str) -> Change:
    resource = stack.resources[name]
    return Change("Remove", name, resource.type, resource.physical_id)


def _modification(stack: Stack, name: str, old: dict[str, Any], new: dict[str, Any], moved: set[str]) -> Change | None:
    resource = stack.resources[name]
    before, after = old.get("Properties", {}), new.get("Properties", {})
    changed = [key for key in sorted({*before, *after}) if _moved(before.get(key), after.get(key), moved)]
    scope = ["Properties"] if changed else []
    scope += [part for part in _ATTRIBUTES if old.get(part) != new.get(part)]
    if old.get("Type") != new["Type"]:
        return Change("Modify", name, new["Type"], resource.physical_id, "True", ("Properties",))
    if not scope:
        return None
    kind = KINDS[new["Type"]]
    fixed = kind.fixed if kind.change else frozenset(changed)
    recreated = tuple((key, "Always" if key in fixed else "Never") for key in changed)
    replaced = "True" if changed and kind.replaces(changed) else "False"
    return Change("Modify", name, new["Type"], resource.physical_id, replaced, tuple(scope), recreated)


def _moved(before: Any, after: Any, moved: set[str]) -> bool:
    return before != after or not moved.isdisjoint(references(after))
