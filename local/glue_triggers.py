"""Start Glue jobs when their scheduled triggers are due; other kinds of trigger are refused by name.

Source: AWS Glue Developer Guide, "Time-based schedules for jobs and crawlers" (the same cron as EventBridge's, in UTC).
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.glue.models import FakeTrigger, GlueBackend, glue_backends

from local.cloud import Cloud
from local.cron import schedule
from local.event_rules import Clock

LOOK_SECONDS = 0.5
KINDS = ("SCHEDULED", "ON_DEMAND")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A trigger as the clock of EventBridge's rules reads one."""

    trigger: FakeTrigger

    @property
    def arn(self) -> str:
        """Name it."""
        return str(self.trigger.arn)

    @property
    def state(self) -> str:
        """Say whether it is on, as a rule would."""
        return "ENABLED" if self.trigger.state == "ACTIVATED" else "DISABLED"

    @property
    def scheduled_expression(self) -> str:
        """Say when it is due."""
        return str(self.trigger.schedule)


def start(cloud: Cloud, trigger: FakeTrigger) -> None:
    """Start the jobs of a trigger that is due; what cannot be started is logged, as nobody waits for an answer."""
    for action in trigger.as_dict()["Actions"]:
        given = {part: action[part] for part in ("JobName", "Arguments", "Timeout") if action.get(part)}
        try:
            cloud.client("glue").start_job_run(**given)
        except Exception:  # whatever Glue answers; the next trigger is due all the same
            log.exception("trigger %s", trigger.name)


@functools.cache
def install(cloud: Cloud) -> None:
    """Refuse triggers that would never fire, and watch the scheduled ones."""
    create = GlueBackend.create_trigger

    def create_trigger(backend: Any, **given: Any) -> Any:
        if given["trigger_type"] not in KINDS:
            raise NotImplementedError(f"Glue trigger {given['name']} of type {given['trigger_type']}; {KINDS} work")
        if given["trigger_type"] == "SCHEDULED":
            schedule(given["schedule"])
        return create(backend, **given)

    GlueBackend.create_trigger = create_trigger
    threading.Thread(target=_run, args=(cloud,), name="glue triggers", daemon=True).start()


def _run(cloud: Cloud) -> None:
    clock = Clock(datetime.now(UTC))
    triggers = glue_backends[cloud.account][cloud.region].triggers
    while True:
        time.sleep(LOOK_SECONDS)
        scheduled: list[Any] = [Scheduled(each) for each in list(triggers.values()) if each.trigger_type == "SCHEDULED"]
        for due in clock.due(scheduled, datetime.now(UTC)):
            start(cloud, due.trigger)
