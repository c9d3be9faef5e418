"""Carry EventBridge events to functions, state machines, queues and topics: what matches, and what is due."""

from __future__ import annotations

import copy
import functools
import json
import logging
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.events.models import Rule, events_backends
from moto.events.utils import EventTemplateParser

from local import destinations
from local.cloud import Cloud
from local.cron import Cron, InvalidSchedule, Rate, schedule
from local.functions import functions

LOOK_SECONDS = 0.5
OURS = ("lambda", "states", "sqs", "sns")
MOTOS = ("logs", "events")

log = logging.getLogger(__name__)


def send(cloud: Cloud, target: dict[str, Any], event: dict[str, Any]) -> None:
    """Send an event to one target, transformed as the target asks; a failure goes to the target's dead-letter queue."""
    arn, body = target["Arn"], json.dumps(transformed(target, event))
    try:
        match arn.split(":")[2]:
            case "lambda":
                running = functions(cloud)
                running.enqueue(running.find(arn), body.encode())
            case "states":
                cloud.client("stepfunctions").start_execution(stateMachineArn=arn, input=body)
            case _:
                destinations.send(cloud, arn, body)
    except Exception as failure:  # whatever a target's service answers; the event's sender is not to hear of it
        log.exception("event to %s", arn)
        if dead_letter := target.get("DeadLetterConfig", {}).get("Arn"):
            destinations.send(cloud, dead_letter, body, {"ERROR_MESSAGE": str(failure)[:1024], "TARGET_ARN": arn})


def transformed(target: dict[str, Any], event: dict[str, Any]) -> Any:
    """Return what a target receives: its constant input, a part of the event, a template filled in, or the event.

    >>> transformed({"InputPath": "$.detail.key"}, {"detail": {"key": "a.parquet"}})
    'a.parquet'
    """
    if "Input" in target:
        return json.loads(target["Input"])
    if path := target.get("InputPath"):
        return functools.reduce(lambda part, name: part[name], path.removeprefix("$").strip(".").split("."), event)
    if transformer := target.get("InputTransformer"):
        timed = {**event, "ingestion-time": event["time"]}
        return EventTemplateParser.parse(transformer["InputTemplate"], transformer.get("InputPathsMap", {}), timed)
    return event


def scheduled_event(cloud: Cloud, rule_arn: str, now: datetime) -> dict[str, Any]:
    """Write the event of a rule that is due."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": cloud.account,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": cloud.region,
        "resources": [rule_arn],
        "detail": {},
    }


class Clock:
    """Watches the scheduled rules; asked at growing moments, it names each rule once for each time it is due."""

    def __init__(self, now: datetime) -> None:
        self._asked = now
        self._next: dict[tuple[str, str], datetime] = {}

    def due(self, rules: list[Rule], now: datetime) -> list[Rule]:
        """Return the enabled rules that became due since the last time, once each."""
        minutes = _minutes(self._asked, now)
        self._asked = now
        return [rule for rule in rules if rule.state == "ENABLED" and self._is_due(rule, minutes, now)]

    def _is_due(self, rule: Rule, minutes: list[datetime], now: datetime) -> bool:
        when = schedule(rule.scheduled_expression)
        if isinstance(when, Cron):
            return any(when.matches(minute) for minute in minutes)
        known = (rule.arn, rule.scheduled_expression)
        first_seen = known not in self._next
        if not first_seen and now < self._next[known]:
            return False
        self._next[known] = _after(self._next.get(known, now), when, now)
        return not first_seen


def _after(moment: datetime, rate: Rate, now: datetime) -> datetime:
    while moment <= now:
        moment += rate.every
    return moment


def _minutes(after: datetime, until: datetime) -> list[datetime]:
    """List the whole minutes after one moment and up to another."""
    minute = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    found = []
    while minute <= until:
        found.append(minute)
        minute += timedelta(minutes=1)
    return found


@functools.cache
def install(cloud: Cloud) -> None:
    """Let moto's rules reach their targets, and run those that have a schedule."""
    _mend_targets()
    _mend_sending(cloud)
    threading.Thread(target=_run, args=(cloud,), name="schedules", daemon=True).start()


def _mend_targets() -> None:
    """Refuse a target or schedule that would never be served when it is made, where the deploy can say so."""
    put, made = Rule.put_targets, Rule.__init__

    def put_targets(self: Any, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            if target["Arn"].split(":")[2] not in OURS + MOTOS:
                raise NotImplementedError(f"EventBridge target {target['Arn']}; {', '.join(OURS)} work")
        put(self, targets)

    def make(self: Any, *arguments: Any, **keywords: Any) -> None:
        made(self, *arguments, **keywords)
        if self.scheduled_expression:
            schedule(self.scheduled_expression)

    Rule.put_targets = put_targets
    Rule.__init__ = make


def _mend_sending(cloud: Cloud) -> None:
    sent = Rule.send_to_targets

    def send_to_targets(self: Any, original_event: Any, transform_input: bool = True) -> None:
        matched = self.event_pattern.get_pattern() and self.event_pattern.matches_event(original_event)
        if self.state != "ENABLED" or not matched:
            return
        for target in self.targets:
            if target["Arn"].split(":")[2] in OURS:
                send(cloud, target, _clean(original_event))
        if others := [target for target in self.targets if target["Arn"].split(":")[2] in MOTOS]:
            rest = copy.copy(self)
            rest.targets = others
            sent(rest, original_event, transform_input)

    Rule.send_to_targets = send_to_targets


def _clean(event: Any) -> dict[str, Any]:
    """Write moto's event as AWS does: a time in ISO 8601, nothing of moto's own."""
    moment = event["time"]
    if not isinstance(moment, str):
        moment = datetime.fromtimestamp(float(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**{name: value for name, value in event.items() if name != "ingestion-time"}, "time": moment}


def _run(cloud: Cloud) -> None:
    clock = Clock(datetime.now(UTC))
    buses = events_backends[cloud.account][cloud.region].event_buses
    while True:
        time.sleep(LOOK_SECONDS)
        rules = [rule for rule in list(buses["default"].rules.values()) if rule.scheduled_expression]
        now = datetime.now(UTC)
        try:
            due = clock.due(rules, now)
        except InvalidSchedule:  # refused when made, so only a rule changed behind moto's back comes here
            log.exception("schedules")
            continue
        for rule in due:
            for target in list(rule.targets):
                send(cloud, target, scheduled_event(cloud, rule.arn, now))
