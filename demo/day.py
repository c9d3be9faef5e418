"""Follow the records into the lake, then run the day's state machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from demo.account import Account
from demo.laptop import DemoFailed, Laptop
from demo.progress import retell, tell

PATIENCE = 300.0  # seconds without any progress before the demo gives up


def wait_until_landed(laptop: Laptop, bucket: str, accepted: int) -> Account:
    """Wait until the receipts account for every accepted record."""
    account, progressed = Account(), time.monotonic()
    while account.settled < accepted:
        before = account.settled
        account.update(laptop.client("s3"), bucket)
        if account.settled > before:
            progressed = time.monotonic()
        elif time.monotonic() - progressed > PATIENCE:
            raise DemoFailed(f"{account.settled:,} of {accepted:,} records landed, then nothing for {PATIENCE:.0f} s")
        retell(f"{account.settled:,} of {accepted:,} records landed or quarantined")
        time.sleep(0.5)
    tell(f"{account.settled:,} of {accepted:,} records landed or quarantined")
    return account


def commit_all(laptop: Laptop) -> int:
    """Invoke the committer until nothing is left to register; return the files registered."""
    files, client = 0, laptop.client("lambda")
    while True:
        try:
            answer = client.invoke(FunctionName="rivermill-commit", Payload=b"{}")
        except client.exceptions.TooManyRequestsException:
            time.sleep(1)  # the schedule's own is at work, and there is one at a time
            continue
        body: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            tell(f"the committer failed and is called again: {body.get('errorMessage', body)}")
            continue
        files += sum(int(table["files"]) for table in body["committed"].values())
        retell(f"{files:,} files registered")
        if not body["more"]:
            tell(f"{files:,} files registered")
            return files


def run_day(laptop: Laptop, day: date, on_ended: Sequence[Callable[[str], None]] = ()) -> dict[str, Any]:
    """Start the state machine for `day`, tell each state as it ends, also to those `on_ended`; return the end."""
    machine = next(
        found["stateMachineArn"]
        for found in laptop.client("stepfunctions").list_state_machines()["stateMachines"]
        if found["name"] == "rivermill-daily"
    )
    client = laptop.client("stepfunctions")
    started = client.start_execution(
        stateMachineArn=machine, name=f"daily-{day}", input=json.dumps({"day": day.isoformat()})
    )
    told = 0
    while True:
        execution: dict[str, Any] = client.describe_execution(executionArn=started["executionArn"])
        ended = [state for state in states(laptop, started["executionArn"]) if state["ended"]]
        for state in ended[told:]:
            tell(f"{state['name']:<24} {state['ended'] - state['started']:6.1f} s")
            for hear in on_ended:
                hear(state["name"])
        told = len(ended)
        if execution["status"] != "RUNNING":
            break
        time.sleep(1)
    if execution["status"] != "SUCCEEDED":
        raise DemoFailed(f"the day ended as {execution['status']}: {execution.get('error')}: {why(execution)}")
    return execution


def why(execution: dict[str, Any]) -> str:
    """Say why an execution failed: its cause, or what the job says whose whole description is the cause."""
    cause = str(execution.get("cause", ""))
    try:
        job = json.loads(cause)
    except ValueError:
        return cause
    message = job.get("ErrorMessage") or job.get("FailureReason") if isinstance(job, dict) else None
    return f"{job.get('JobName', 'a job')}: {message}" if message else cause


def states(laptop: Laptop, execution: str) -> list[dict[str, Any]]:
    """List the visits to states in order: name, start and end in seconds since the epoch, whether it succeeded."""
    visits: list[dict[str, Any]] = []
    for event in _history(laptop, execution):
        moment = event["timestamp"].timestamp()
        if name := event.get("stateEnteredEventDetails", {}).get("name"):
            visits.append({"name": name, "started": moment, "ended": None, "succeeded": True})
        elif "stateExitedEventDetails" in event:
            visits[-1]["ended"] = moment
        elif visits:
            visits[-1]["succeeded"] = not event["type"].endswith(("Failed", "TimedOut", "Aborted"))
    return visits


def _history(laptop: Laptop, execution: str) -> Iterator[dict[str, Any]]:
    pages = laptop.client("stepfunctions").get_paginator("get_execution_history")
    for page in pages.paginate(executionArn=execution):
        yield from page["events"]
