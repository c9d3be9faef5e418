"""What CloudFormation remembers: stacks, their resources and events, and change sets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from local.cloudformation.template import Template


def now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(timezone.utc)


@dataclass(slots=True)
class StackResource:
    """One resource as it stands: its definition's resolved properties, and what the service called it."""

    logical_id: str
    type: str
    properties: dict[str, Any]
    physical_id: str = ""
    reference: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    depends_on: tuple[str, ...] = ()
    status: str = "CREATE_IN_PROGRESS"
    reason: str = ""
    changed_at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a stack's history."""

    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str = ""
    token: str = ""
    id: str = field(default_factory=lambda: str(uuid4()))
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Output:
    """A value that a stack shows, and the name under which it exports it, if it does."""

    key: str
    value: str
    description: str = ""
    export: str = ""


@dataclass(slots=True)
class Stack:
    """A stack: its present template and what was made from it."""

    name: str
    id: str
    status: str = "REVIEW_IN_PROGRESS"
    reason: str = ""
    body: str = ""
    template: Template = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    role_arn: str = ""
    termination_protection: bool = False
    resources: dict[str, StackResource] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    token: str = ""
    change_set_id: str = ""
    created_at: datetime = field(default_factory=now)
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    settled: threading.Condition = field(default_factory=threading.Condition)

    @property
    def in_progress(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def turn(self, status: str, reason: str = "") -> None:
        """Take a new status, write it down, and wake whoever waits for it."""
        with self.settled:
            self.status, self.reason = status, reason
            self.events.append(Event(self.name, self.id, "AWS::CloudFormation::Stack", status, reason, self.token))
            self.settled.notify_all()

    def note(self, resource: StackResource, status: str, reason: str = "") -> None:
        """Write down a resource's new status."""
        resource.status, resource.reason, resource.changed_at = status, reason, now()
        self.events.append(Event(resource.logical_id, resource.physical_id, resource.type, status, reason, self.token))

    def wait(self, seconds: float) -> None:
        """Wait until no operation is under way, or until the time is over."""
        with self.settled:
            self.settled.wait_for(lambda: not self.in_progress, seconds)


@dataclass(frozen=True, slots=True)
class Change:
    """What a change set would do to one resource."""

    action: str
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    scope: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()  # (property, Never | Always)


@dataclass(slots=True)
class ChangeSet:
    """A template to be, and what it would change."""

    name: str
    id: str
    stack: Stack
    type: str
    body: str
    template: Template
    parameters: dict[str, str]
    tags: dict[str, str]
    changes: tuple[Change, ...]
    description: str = ""
    role_arn: str = ""
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    execution: str = "AVAILABLE"
    created_at: datetime = field(default_factory=now)
