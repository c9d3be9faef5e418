"""Answer CloudFormation's calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlparse
from uuid import uuid4

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from local.cloud import Cloud
from local.cloudformation import changes
from local.cloudformation.deploy import Deployment, Elsewhere, delete
from local.cloudformation.model import Change, ChangeSet, Event, Output, Stack, StackResource
from local.cloudformation.template import TemplateError, parse

# A question about a stack under way is answered when it settles, so that clients do not sleep between polls.
PATIENCE_SECONDS = 20.0

_PAGE = 100


class ValidationError(ServiceException):  # type: ignore[misc]
    """The request cannot be done; the message says why."""

    code = "ValidationError"


class ChangeSetNotFound(ServiceException):  # type: ignore[misc]
    """There is no such change set."""

    code = "ChangeSetNotFound"


class Registry:
    """Every stack and change set of the account and region."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.stacks: list[Stack] = []
        self.change_sets: dict[str, ChangeSet] = {}
        self.elsewhere = Elsewhere(self.imported, self.output_of, self.importers)

    def find(self, name: str) -> Stack:
        """Return a stack by name, or by id also if deleted. Raises `ValidationError`."""
        for stack in reversed(self.stacks):
            if stack.id == name or (stack.name == name and stack.status != "DELETE_COMPLETE"):
                return stack
        raise ValidationError(f"Stack with id {name} does not exist")

    def found(self, name: str) -> Stack | None:
        """Return a stack by name if it is there."""
        return next((held for held in self.stacks if name in (held.name, held.id) and not held.deleted_at), None)

    def new(self, name: str) -> Stack:
        """Begin a stack."""
        arn = f"arn:aws:cloudformation:{self.cloud.region}:{self.cloud.account}:stack/{name}/{uuid4()}"
        stack = Stack(name, arn)
        self.stacks.append(stack)
        return stack

    def imported(self, name: str) -> str:
        """Return the value of an export."""
        for _, output in self.exports():
            if output.export == name:
                return output.value
        raise TemplateError(f"No export named {name} found")

    def output_of(self, stack: str, key: str) -> str:
        """Return another stack's output."""
        for output in self.find(stack).outputs:
            if output.key == key:
                return output.value
        raise TemplateError(f"stack {stack} has no output {key}")

    def exports(self) -> list[tuple[Stack, Output]]:
        """List what stacks export."""
        return [
            (stack, output)
            for stack in self.stacks
            if not stack.deleted_at
            for output in stack.outputs
            if output.export
        ]

    def importers(self, name: str) -> list[str]:
        """List the stacks that import a name."""
        return [stack.name for stack in self.stacks if not stack.deleted_at and name in stack.imports]

    def deployment(self, change_set: ChangeSet) -> Deployment:
        """Return what carries a change set out."""
        held = change_set
        return Deployment(self.cloud, held.stack, self.elsewhere, held.body, held.template, held.parameters, held.tags)


_registry: list[Registry] = []


class CloudFormationResponse(BaseResponse):  # type: ignore[misc]
    """CloudFormation as a client sees it."""

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    @property
    def registry(self) -> Registry:
        """The one registry of this cloud."""
        return _registry[0]

    def _given(self, name: str, default: Any = None) -> Any:
        return self._get_param(name, default)

    # Change sets

    def create_change_set(self) -> ActionResult:
        """CreateChangeSet: refuses here what could not be deployed, before anything is touched."""
        kind = self._given("ChangeSetType") or "UPDATE"
        if kind == "IMPORT":
            raise ValidationError("the laptop cloud does not import existing resources into stacks")
        stack = self._stack_for(kind, self._given("StackName"))
        template = self._template(stack)
        change_set = self._checked(lambda: self._change_set(stack, kind, *template))
        self.registry.change_sets[change_set.id] = change_set
        stack.change_set_id = change_set.id
        return ActionResult({"Id": change_set.id, "StackId": stack.id})

    def _stack_for(self, kind: str, name: str) -> Stack:
        stack = self.registry.found(name)
        if kind == "CREATE":
            if stack and stack.status != "REVIEW_IN_PROGRESS":
                raise ValidationError(f"Stack [{name}] already exists and cannot be created again with the changeSet.")
            return stack or self.registry.new(name)
        if stack is None:
            raise ValidationError(f"Stack [{name}] does not exist")
        if stack.in_progress or stack.status in ("ROLLBACK_COMPLETE", "DELETE_FAILED"):
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _change_set(self, stack: Stack, kind: str, body: str, template: dict[str, Any]) -> ChangeSet:
        name = self._given("ChangeSetName")
        cloud = self.registry.cloud
        arn = f"arn:aws:cloudformation:{cloud.region}:{cloud.account}:changeSet/{name}/{uuid4()}"
        made = ChangeSet(name, arn, stack, kind, body, template, self._parameters(stack), self._tags(stack), ())
        made.description = self._given("Description", "")
        made.role_arn = self._given("RoleARN", "")
        present = self.registry.deployment(made).present()
        made.changes = changes.between(stack, template, made.parameters, present)
        if not made.changes and kind == "UPDATE" and not changes.differs(stack, template, made.tags):
            made.status, made.execution, made.reason = "FAILED", "UNAVAILABLE", changes.NOTHING
        return made

    def _template(self, stack: Stack | None) -> tuple[str, dict[str, Any]]:
        if self._given("UsePreviousTemplate") and stack:
            return stack.body, stack.template
        body = self._given("TemplateBody") or self._fetched(self._given("TemplateURL"))

        def read() -> dict[str, Any]:
            template = parse(body)
            changes.refuse_unknown_types(template)
            return template

        return body, self._checked(read)

    def _fetched(self, url: str | None) -> str:
        if not url:
            raise ValidationError("Either Template URL or Template Body must be specified.")
        address = urlparse(url)
        bucket, path = _bucket_and_key(address.hostname or "", unquote(address.path))
        held = self.registry.cloud.client("s3").get_object(Bucket=bucket, Key=path)
        return str(held["Body"].read().decode())

    def _checked(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except TemplateError as fault:
            raise ValidationError(str(fault)) from fault

    def _parameters(self, stack: Stack) -> dict[str, str]:
        given: dict[str, str] = {}
        for parameter in self._given("Parameters", []):
            key = parameter["ParameterKey"]
            if not parameter.get("UsePreviousValue"):
                given[key] = parameter.get("ParameterValue", "")
            elif key in stack.parameters:
                given[key] = stack.parameters[key]
        return given

    def _tags(self, stack: Stack) -> dict[str, str]:
        given = self._given("Tags")
        return stack.tags if given is None else {tag["Key"]: tag["Value"] for tag in given}

    def _find_change_set(self) -> ChangeSet:
        name, stack = self._given("ChangeSetName"), self._given("StackName")
        for held in reversed(self.registry.change_sets.values()):
            if held.id == name or (held.name == name and stack in (held.stack.name, held.stack.id)):
                return held
        raise ChangeSetNotFound(f"ChangeSet [{name}] does not exist")

    def describe_change_set(self) -> ActionResult:
        """DescribeChangeSet."""
        return ActionResult(_shown_change_set(self._find_change_set()))

    def list_change_sets(self) -> ActionResult:
        """ListChangeSets."""
        stack = self.registry.find(self._given("StackName"))
        held = [change_set for change_set in self.registry.change_sets.values() if change_set.stack is stack]
        return ActionResult({"Summaries": [_shown_change_set(change_set) for change_set in held]})

    def delete_change_set(self) -> ActionResult:
        """DeleteChangeSet: one that is not there is already deleted."""
        try:
            self.registry.change_sets.pop(self._find_change_set().id)
        except ChangeSetNotFound:
            return EmptyResult()
        return EmptyResult()

    def execute_change_set(self) -> ActionResult:
        """ExecuteChangeSet."""
        held = self._find_change_set()
        if held.execution != "AVAILABLE":
            raise ValidationError(f"ChangeSet [{held.id}] cannot be executed in its current status of [{held.status}]")
        held.execution = "EXECUTE_COMPLETE"
        stack = held.stack
        first = stack.status == "REVIEW_IN_PROGRESS"
        stack.role_arn = held.role_arn
        self._begin(self.registry.deployment(held), first)
        return EmptyResult()

    def _begin(self, deployment: Deployment, first: bool) -> None:
        stack, roll_back = deployment.stack, not self._given("DisableRollback")
        stack.token = self._given("ClientRequestToken", "")
        stack.status = "CREATE_IN_PROGRESS" if first else "UPDATE_IN_PROGRESS"
        work = threading.Thread(
            target=deployment.run,
            kwargs={"first": first, "roll_back": roll_back},
            name=f"deploy {stack.name}",
            daemon=True,
        )
        work.start()

    # Stacks

    def create_stack(self) -> ActionResult:
        """CreateStack."""
        name = self._given("StackName")
        if self.registry.found(name):
            raise ValidationError(f"Stack [{name}] already exists")
        body, template = self._template(None)
        return self._deploy(self.registry.new(name), body, template, first=True)

    def update_stack(self) -> ActionResult:
        """UpdateStack."""
        stack = self._stack_for("UPDATE", self._given("StackName"))
        body, template = self._template(stack)
        change_set = self._checked(lambda: self._change_set(stack, "UPDATE", body, template))
        if change_set.status == "FAILED":
            raise ValidationError("No updates are to be performed.")
        return self._deploy(stack, body, template, first=False)

    def _deploy(self, stack: Stack, body: str, template: dict[str, Any], *, first: bool) -> ActionResult:
        parameters, tags = self._parameters(stack), self._tags(stack)
        stack.role_arn = self._given("RoleARN", "")
        held = self.registry
        self._begin(Deployment(held.cloud, stack, held.elsewhere, body, template, parameters, tags), first)
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:
        """DeleteStack: refuses one that is protected or whose exports others import."""
        stack = self.registry.found(self._given("StackName"))
        if stack is None:
            return EmptyResult()
        self._refuse_deletion(stack)
        stack.token = self._given("ClientRequestToken", "")
        stack.status = "DELETE_IN_PROGRESS"
        retained = self._given("RetainResources", [])
        threading.Thread(target=delete, args=(self.registry.cloud, stack, retained), daemon=True).start()
        return EmptyResult()

    def _refuse_deletion(self, stack: Stack) -> None:
        if stack.termination_protection:
            raise ValidationError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        for output in stack.outputs:
            if output.export and (importers := self.registry.importers(output.export)):
                raise ValidationError(
                    f"Export {output.export} cannot be deleted as it is in use by {', '.join(importers)}"
                )

    def describe_stacks(self) -> ActionResult:
        """DescribeStacks: of one stack under way, once it has settled or patience is over."""
        name = self._given("StackName")
        stacks = (
            [self.registry.find(name)] if name else [stack for stack in self.registry.stacks if not stack.deleted_at]
        )
        if name:
            stacks[0].wait(PATIENCE_SECONDS)
        return ActionResult({"Stacks": [_shown_stack(stack) for stack in stacks]})

    def list_stacks(self) -> ActionResult:
        """ListStacks."""
        wanted = self._given("StackStatusFilter", [])
        held = [stack for stack in self.registry.stacks if not wanted or stack.status in wanted]
        return ActionResult({"StackSummaries": [_shown_stack(stack) for stack in held]})

    def describe_stack_events(self) -> ActionResult:
        """DescribeStackEvents: newest first."""
        stack = self.registry.find(self._given("StackName"))
        shown = [_shown_event(stack, event) for event in reversed(stack.events)]
        start = int(self._given("NextToken") or 0)
        following = str(start + _PAGE) if len(shown) > start + _PAGE else None
        return ActionResult({"StackEvents": shown[start : start + _PAGE], "NextToken": following})

    def describe_events(self) -> ActionResult:
        """DescribeEvents: of a stack or a change set, or only those of failure."""
        name = self._given("StackName") or self._given("ChangeSetName") or ""
        stack = self.registry.found(name)
        if stack is None:
            return ActionResult({"OperationEvents": []})
        failed_only = (self._given("Filters") or {}).get("FailedEvents")
        events = [event for event in reversed(stack.events) if not failed_only or event.status.endswith("_FAILED")]
        return ActionResult({"OperationEvents": [_shown_event(stack, event) for event in events]})

    def list_stack_resources(self) -> ActionResult:
        """ListStackResources."""
        stack = self.registry.find(self._given("StackName"))
        return ActionResult({"StackResourceSummaries": [_shown(stack, held) for held in stack.resources.values()]})

    def describe_stack_resources(self) -> ActionResult:
        """DescribeStackResources."""
        stack = self.registry.find(self._given("StackName"))
        logical_id = self._given("LogicalResourceId")
        held = [resource for name, resource in stack.resources.items() if logical_id in (None, name)]
        return ActionResult({"StackResources": [_shown(stack, resource) for resource in held]})

    def describe_stack_resource(self) -> ActionResult:
        """DescribeStackResource."""
        stack, name = self.registry.find(self._given("StackName")), self._given("LogicalResourceId")
        if name not in stack.resources:
            raise ValidationError(f"Resource {name} does not exist for stack {stack.name}")
        return ActionResult({"StackResourceDetail": _shown(stack, stack.resources[name])})

    def get_template(self) -> ActionResult:
        """GetTemplate: of a change set if one is named."""
        if self._given("ChangeSetName"):
            return ActionResult({"TemplateBody": self._find_change_set().body, "StagesAvailable": ["Original"]})
        stack = self.registry.find(self._given("StackName"))
        return ActionResult({"TemplateBody": stack.body, "StagesAvailable": ["Original", "Processed"]})

    def get_template_summary(self) -> ActionResult:
        """GetTemplateSummary."""
        name = self._given("StackName")
        template = self.registry.find(name).template if name else self._template(None)[1]
        return ActionResult(_summary(template))

    def validate_template(self) -> ActionResult:
        """ValidateTemplate."""
        summary = _summary(self._template(None)[1])
        return ActionResult({"Parameters": summary["Parameters"], "Description": summary["Description"]})

    def update_termination_protection(self) -> ActionResult:
        """UpdateTerminationProtection."""
        stack = self.registry.find(self._given("StackName"))
        stack.termination_protection = bool(self._given("EnableTerminationProtection"))
        return ActionResult({"StackId": stack.id})

    def list_exports(self) -> ActionResult:
        """ListExports."""
        held = self.registry.exports()
        return ActionResult(
            {"Exports": [{"ExportingStackId": stack.id, "Name": out.export, "Value": out.value} for stack, out in held]}
        )

    def list_imports(self) -> ActionResult:
        """ListImports."""
        importers = self.registry.importers(self._given("ExportName"))
        if not importers:
            raise ValidationError(f"Export '{self._given('ExportName')}' is not imported by any stack.")
        return ActionResult({"Imports": importers})


def _bucket_and_key(host: str, path: str) -> tuple[str, str]:
    first, _, rest = host.partition(".")
    if first and first not in ("localhost", "s3", "127") and (rest.startswith("s3") or rest == "localhost"):
        return first, path.lstrip("/")
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key


def _shown_stack(stack: Stack) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set_id or None,
        "Description": stack.description or None,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "DeletionTime": stack.deleted_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "DisableRollback": False,
        "NotificationARNs": [],
        "Capabilities": [],
        "Outputs": [_shown_output(output) for output in stack.outputs],
        "RoleARN": stack.role_arn or None,
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "EnableTerminationProtection": stack.termination_protection,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _shown_output(output: Output) -> dict[str, Any]:
    return {
        "OutputKey": output.key,
        "OutputValue": output.value,
        "Description": output.description or None,
        "ExportName": output.export or None,
    }


def _shown_event(stack: Stack, event: Event) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "EventId": event.id,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": event.at,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason or None,
        "ClientRequestToken": event.token or None,
    }


def _shown(stack: Stack, resource: StackResource) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.type,
        "Timestamp": resource.changed_at,
        "LastUpdatedTimestamp": resource.changed_at,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason or None,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def _shown_change_set(held: ChangeSet) -> dict[str, Any]:
    return {
        "ChangeSetName": held.name,
        "ChangeSetId": held.id,
        "StackId": held.stack.id,
        "StackName": held.stack.name,
        "Description": held.description or None,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in held.parameters.items()],
        "CreationTime": held.created_at,
        "ExecutionStatus": held.execution,
        "Status": held.status,
        "StatusReason": held.reason or None,
        "NotificationARNs": [],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Tags": [{"Key": key, "Value": value} for key, value in held.tags.items()],
        "Changes": [{"Type": "Resource", "ResourceChange": _shown_change(change)} for change in held.changes],
        "IncludeNestedStacks": False,
    }


def _shown_change(change: Change) -> dict[str, Any]:
    details = [
        {
            "Target": {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreated},
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for name, recreated in change.properties
    ]
    return {
        "Action": change.action,
        "LogicalResourceId": change.logical_id,
        "PhysicalResourceId": change.physical_id or None,
        "ResourceType": change.type,
        "Replacement": change.replacement or None,
        "Scope": list(change.scope),
        "Details": details,
    }


def _summary(template: dict[str, Any]) -> dict[str, Any]:
    return {
        "Description": template.get("Description", ""),
        "Parameters": [
            {
                "ParameterKey": name,
                "DefaultValue": held.get("Default"),
                "ParameterType": held.get("Type", "String"),
                "NoEcho": bool(held.get("NoEcho", False)),
                "Description": held.get("Description", ""),
            }
            for name, held in (template.get("Parameters") or {}).items()
        ],
        "ResourceTypes": sorted({resource["Type"] for resource in template["Resources"].values()}),
        "Capabilities": [],
        "Metadata": json.dumps(template.get("Metadata", {})),
        "ResourceIdentifierSummaries": [],
    }
