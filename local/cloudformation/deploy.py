"""Make, change, roll back and remove stacks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from moto.apigateway.models import apigateway_backends

from local.api_gateway.addresses import here
from local.cloud import Cloud
from local.cloudformation.intrinsics import NO_VALUE, Scope
from local.cloudformation.kinds import KINDS
from local.cloudformation.kinds.kind import Made, Order, gone
from local.cloudformation.model import Output, Stack, StackResource, now
from local.cloudformation.template import Template, TemplateError, in_order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a stack may ask of the others: exports, and outputs by stack name."""

    imported: Callable[[str], str]
    output_of: Callable[[str, str], str]
    importers: Callable[[str], list[str]]


@dataclass(slots=True)
class Deployment:
    """One operation on one stack, from its present template to another."""

    cloud: Cloud
    stack: Stack
    elsewhere: Elsewhere
    body: str
    template: Template
    parameters: dict[str, str]
    tags: dict[str, str]
    undo: list[Callable[[], None]] = field(default_factory=list)
    replaced: list[StackResource] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)

    def present(self) -> set[str]:
        """Return the logical ids whose conditions hold."""
        scope = self._scope()
        resources = self.template["Resources"]
        return {name for name, held in resources.items() if "Condition" not in held or scope.holds(held["Condition"])}

    def run(self, *, first: bool, roll_back: bool = True) -> None:
        """Bring the stack to the template; on a failure bring it back, unless told not to."""
        verb = "CREATE" if first else "UPDATE"
        self.stack.turn(f"{verb}_IN_PROGRESS", "User Initiated")
        try:
            self._apply()
            outputs = self._outputs()
            self._refuse_lost_exports(outputs)
        except Exception as failure:  # whatever went wrong, the stack must say so and be brought back
            log.exception("stack %s failed", self.stack.name)
            self._fail(verb, first, str(failure), roll_back)
            return
        self.stack.outputs = outputs
        self._settle(verb)

    def _refuse_lost_exports(self, outputs: list[Output]) -> None:
        kept = {output.export: output.value for output in outputs}
        for output in self.stack.outputs:
            changed = output.export and kept.get(output.export) != output.value
            if changed and (importers := self.elsewhere.importers(output.export)):
                name = output.export
                raise TemplateError(f"Cannot update or delete export {name} as it is in use by {', '.join(importers)}")

    def _apply(self) -> None:
        resources, present = self.template["Resources"], self.present()
        for logical_id in in_order({name: resources[name] for name in resources if name in present}):
            self._bring(logical_id, resources[logical_id])

    def _settle(self, verb: str) -> None:
        stack, present = self.stack, self.present()
        if verb == "UPDATE":
            stack.turn("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for resource in reversed(self.replaced):
            _remove(self.cloud, stack, resource, resource.replace_policy)
        dropped = [resource for name, resource in stack.resources.items() if name not in present]
        for resource in _dependents_first(dropped):
            if _remove(self.cloud, stack, resource, resource.deletion_policy):
                del stack.resources[resource.logical_id]
        stack.body, stack.template, stack.description = self.body, self.template, self.template.get("Description", "")
        stack.parameters, stack.tags, stack.imports = self.parameters, self.tags, self.imports
        stack.updated_at = now()
        stack.turn(f"{verb}_COMPLETE")

    def _fail(self, verb: str, first: bool, reason: str, roll_back: bool) -> None:
        stack = self.stack
        if not roll_back:
            stack.turn(f"{verb}_FAILED", reason)
            return
        prefix = "ROLLBACK" if first else "UPDATE_ROLLBACK"
        stack.turn(f"{prefix}_IN_PROGRESS", f"{reason}. Rollback requested by user.")
        trouble = [fault for undo in reversed(self.undo) if (fault := _attempt(undo))]
        stack.turn(f"{prefix}_FAILED" if trouble else f"{prefix}_COMPLETE", "; ".join(trouble))

    def _bring(self, logical_id: str, defined: dict[str, Any]) -> None:
        properties = self._scope().resolve(defined.get("Properties", {}))
        held = self.stack.resources.get(logical_id)
        if held is None or not held.physical_id:
            self._make(logical_id, defined, properties)
            return
        if held.type != defined["Type"]:
            raise TemplateError(f"Update of resource type is not permitted: rename {logical_id}")
        _take_policies(held, defined)
        if held.properties != properties:
            self._change(held, properties)

    def _make(self, logical_id: str, defined: dict[str, Any], properties: dict[str, Any]) -> None:
        resource = StackResource(logical_id, defined["Type"], properties)
        _take_policies(resource, defined)
        self.stack.resources[logical_id] = resource
        self._note(resource, "CREATE_IN_PROGRESS")
        order = self._order(resource, properties)
        _take(resource, self._tried(resource, "CREATE", lambda: KINDS[resource.type].make(order)))
        self.undo.append(lambda: self._unmake(resource))
        self._note(resource, "CREATE_COMPLETE")

    def _unmake(self, resource: StackResource) -> None:
        # RetainExceptOnCreate and Delete both mean: not made, when its making is rolled back.
        policy = "Retain" if resource.deletion_policy == "Retain" else "Delete"
        _remove(self.cloud, self.stack, resource, policy)
        self.stack.resources.pop(resource.logical_id, None)

    def _change(self, resource: StackResource, properties: dict[str, Any]) -> None:
        kind, before = KINDS[resource.type], _copy(resource)
        changed = {
            key for key in {*properties, *before.properties} if properties.get(key) != before.properties.get(key)
        }
        replaces = kind.replaces(changed)
        self._note(
            resource,
            "UPDATE_IN_PROGRESS",
            "Requested update requires the creation of a new physical resource" if replaces else "",
        )
        order = self._order(resource, properties, before.properties)
        work = kind.make if replaces else kind.change
        assert work is not None
        made = self._tried(resource, "UPDATE", lambda: work(_fresh(order) if replaces else order))
        _take(resource, made)
        resource.properties = properties
        if replaces and made.physical_id != before.physical_id:
            self.replaced.append(before)
        self.undo.append(lambda: self._unchange(resource, before, replaces))
        self._note(resource, "UPDATE_COMPLETE")

    def _unchange(self, resource: StackResource, before: StackResource, replaced: bool) -> None:
        if replaced and resource.physical_id != before.physical_id:
            _remove(self.cloud, self.stack, resource, "Delete")
        else:
            change = KINDS[resource.type].change or KINDS[resource.type].make
            change(self._order(resource, before.properties, resource.properties))
        self.stack.resources[resource.logical_id] = before
        self._note(before, "UPDATE_COMPLETE")

    def _tried(self, resource: StackResource, verb: str, work: Callable[[], Made]) -> Made:
        try:
            return work()
        except Exception as failure:
            reason = _reason(failure)
            self._note(resource, f"{verb}_FAILED", reason)
            if verb == "CREATE":
                del self.stack.resources[resource.logical_id]
            raise RuntimeError(f"{resource.logical_id} ({resource.type}): {reason}") from failure

    def _order(
        self, resource: StackResource, properties: dict[str, Any], before: dict[str, Any] | None = None
    ) -> Order:
        return _order(self.cloud, self.stack, resource, properties, self.tags, before or {})

    def _note(self, resource: StackResource, status: str, reason: str = "") -> None:
        self.stack.note(resource, status, reason)

    def _outputs(self) -> list[Output]:
        scope, outputs = self._scope(), []
        for key, defined in (self.template.get("Outputs") or {}).items():
            if "Condition" in defined and not scope.holds(defined["Condition"]):
                continue
            export = scope.resolve(defined["Export"]["Name"]) if "Export" in defined else ""
            value = scope.resolve(defined["Value"])
            value = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            value = here(self.cloud, value, apigateway_backends[self.cloud.account][self.cloud.region].apis)
            outputs.append(Output(key, value, defined.get("Description", ""), export))
        return outputs

    def _scope(self) -> Scope:
        names = {**self._pseudo(), **self._parameters()}
        for name, resource in self.stack.resources.items():
            if resource.physical_id:
                names[name] = resource.reference or resource.physical_id
        return Scope(
            names,
            self._attribute,
            self._import,
            self.elsewhere.output_of,
            self._dynamic,
            self.template.get("Conditions", {}),
            self.template.get("Mappings", {}),
        )

    def _import(self, name: str) -> str:
        self.imports.add(name)
        return self.elsewhere.imported(name)

    def _attribute(self, logical_id: str, name: str) -> Any:
        resource = self.stack.resources.get(logical_id)
        if resource is None or not resource.physical_id:
            raise TemplateError(f"Fn::GetAtt of {logical_id}.{name}: there is no such resource")
        if name not in resource.attributes:
            known = ", ".join(sorted(resource.attributes)) or "none"
            raise TemplateError(f"{resource.type} has no attribute {name} here ({logical_id}); it has {known}")
        return resource.attributes[name]

    def _pseudo(self) -> dict[str, Any]:
        return {
            "AWS::AccountId": self.cloud.account,
            "AWS::Region": self.cloud.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.stack.name,
            "AWS::StackId": self.stack.id,
            "AWS::NotificationARNs": [],
            "AWS::NoValue": NO_VALUE,
        }

    def _parameters(self) -> dict[str, Any]:
        declared = self.template.get("Parameters") or {}
        return {name: self._parameter(name, held) for name, held in declared.items()}

    def _parameter(self, name: str, declared: dict[str, Any]) -> Any:
        value = self.parameters.get(name, declared.get("Default"))
        if value is None:
            raise TemplateError(f"Parameters: [{name}] must have values")
        allowed = declared.get("AllowedValues")
        if allowed and value not in allowed:
            raise TemplateError(f"Parameter {name} is {value}; it must be one of {allowed}")
        kind = declared.get("Type", "String")
        if kind.startswith("AWS::SSM::Parameter::Value"):
            value = self._dynamic("ssm", value)
        return str(value).split(",") if "List" in kind else value

    def _dynamic(self, service: str, reference: str) -> str:
        if service != "secretsmanager":
            name, _, version = reference.partition(":")
            chosen = f"{name}:{version}" if version else name
            return str(self.cloud.client("ssm").get_parameter(Name=chosen, WithDecryption=True)["Parameter"]["Value"])
        return _secret(self.cloud, reference)


def delete(cloud: Cloud, stack: Stack, retained: Iterable[str] = ()) -> None:
    """Remove a stack's resources, dependents first, but for those that its policies or the caller retain."""
    kept = set(retained)
    stack.turn("DELETE_IN_PROGRESS", "User Initiated")
    for resource in _dependents_first(list(stack.resources.values())):
        policy = "Retain" if resource.logical_id in kept else resource.deletion_policy
        if _remove(cloud, stack, resource, policy):
            del stack.resources[resource.logical_id]
    failed = [name for name, resource in stack.resources.items() if resource.status == "DELETE_FAILED"]
    if failed:
        stack.turn("DELETE_FAILED", f"The following resource(s) failed to delete: {failed}.")
        return
    stack.deleted_at = now()
    stack.turn("DELETE_COMPLETE")


def _dependents_first(resources: list[StackResource]) -> list[StackResource]:
    # Resources are held in the order in which they were made, which is dependencies first.
    return list(reversed(resources))


def _remove(cloud: Cloud, stack: Stack, resource: StackResource, policy: str) -> bool:
    """Remove one resource, or leave it if its policy says so; say whether the stack is rid of it."""
    if policy in ("Retain", "RetainExceptOnCreate"):
        stack.note(resource, "DELETE_SKIPPED")
        return True
    stack.note(resource, "DELETE_IN_PROGRESS")
    try:
        KINDS[resource.type].remove(_order(cloud, stack, resource, resource.properties, stack.tags, {}))
    except ClientError as failure:
        if not gone(failure):
            stack.note(resource, "DELETE_FAILED", _reason(failure))
            return False
    except Exception as failure:  # one resource that does not go must not keep the others
        log.exception("cannot remove %s of %s", resource.logical_id, stack.name)
        stack.note(resource, "DELETE_FAILED", _reason(failure))
        return False
    stack.note(resource, "DELETE_COMPLETE")
    return True


def _order(  # noqa: PLR0917 - an order is all of these
    cloud: Cloud,
    stack: Stack,
    resource: StackResource,
    properties: dict[str, Any],
    tags: dict[str, str],
    before: dict[str, Any],
) -> Order:
    return Order(
        cloud,
        stack.name,
        resource.logical_id,
        resource.type,
        properties,
        tags,
        stack.id,
        resource.physical_id,
        before,
        resource.attributes,
    )


def _fresh(order: Order) -> Order:
    """Return the order for a resource that takes the place of another, under a new name."""
    generation = f"{order.generation}/{order.physical_id}"
    return Order(order.cloud, order.stack, order.logical_id, order.type, order.properties, order.stack_tags, generation)


def _take(resource: StackResource, made: Made) -> None:
    resource.physical_id = made.physical_id
    resource.attributes = dict(made.attributes)
    resource.reference = made.reference


def _take_policies(resource: StackResource, defined: dict[str, Any]) -> None:
    resource.deletion_policy = defined.get("DeletionPolicy", "Delete")
    resource.replace_policy = defined.get("UpdateReplacePolicy", "Delete")


def _copy(resource: StackResource) -> StackResource:
    return StackResource(
        resource.logical_id,
        resource.type,
        resource.properties,
        resource.physical_id,
        resource.reference,
        dict(resource.attributes),
        resource.deletion_policy,
        resource.replace_policy,
        status=resource.status,
    )


def _attempt(undo: Callable[[], None]) -> str:
    try:
        undo()
    except Exception as failure:  # one step that cannot be undone must not keep the others from it
        log.exception("cannot undo")
        return _reason(failure)
    return ""


def _reason(failure: Exception) -> str:
    if isinstance(failure, ClientError):
        return f"{failure.response['Error'].get('Message') or failure} ({failure.operation_name})"
    return f"{failure}" if str(failure) else type(failure).__name__


def _secret(cloud: Cloud, reference: str) -> str:
    parts = reference.split(":")
    size = 7 if parts[0] == "arn" else 1
    identity, rest = ":".join(parts[:size]), [*parts[size:], "", ""]
    text = cloud.client("secretsmanager").get_secret_value(SecretId=identity)["SecretString"]
    return str(json.loads(text)[rest[1]] if rest[1] else text)
