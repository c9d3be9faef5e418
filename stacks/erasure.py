"""The removal of people, step by step, in the Amazon States Language (JSONPath)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stacks import names
from stacks.daily import LAMBDA_FAULTS, choice, retry, task

State = dict[str, Any]

TURN_SECONDS = 15
BATCHES_AT_ONCE = 4
SECONDS = 920  # a step takes a function's 15 minutes at most
BUSY = "Lambda.TooManyRequestsException"


def definition(notices: str, *, learns: bool) -> State:
    """Define a job: deny, settle, find, forget, remove from each table, sweep until nothing is found, certify.

    Each step can be repeated; an execution that is begun after a crash goes on with the job.
    """
    return {
        "Comment": "People leave every store of the platform, and a certificate says so.",
        "StartAt": "Begin",
        "States": {**taking(), **settling(learns), **removing(), **proving(), **endings(notices)},
    }


def taking() -> dict[str, State]:
    """Take the queue as one job, one at a time."""
    return {
        "Begin": step("begin", {"execution.$": "$$.Execution.Id"}, "begin", "Begun"),
        "Begun": choice(
            {"Variable": "$.begin.Payload.state", "StringEquals": "begun", "Next": "Since"},
            {"Variable": "$.begin.Payload.state", "StringEquals": "busy", "Next": "Turn"},
            default="Done",
        ),
        "Turn": wait(TURN_SECONDS, "Begin"),
        "Done": {"Type": "Succeed"},
        "Since": {
            "Type": "Pass",
            "Parameters": {"job.$": "$.begin.Payload.job", "since.$": "$$.State.EnteredTime"},
            "Next": "Settle",
        },
    }


def settling(learns: bool) -> dict[str, State]:
    """Wait for what was under way, and let what landed before be registered and counted."""
    return {
        **quiet("Settle", "Settled", "Settling", "Commit"),
        "Commit": function(names.COMMIT, "commit", "Committed"),
        "Committed": choice(
            {"Variable": "$.commit.Payload.more", "BooleanEquals": True, "Next": "Commit"},
            default="Learn" if learns else "Find",
        ),
        **({"Learn": function(names.LEARN, "learn", "Find")} if learns else {}),
    }


def removing() -> dict[str, State]:
    """Find, forget in key-value stores, and remove from the tables, small ones together."""
    each = step("tables", {"job.$": "$.job", "tables.$": "$.tables"}, "done", None)
    return {
        "Find": step("find", {"job.$": "$.job"}, "found", "Forget"),
        "Forget": step("forget", {"job.$": "$.job"}, "forgotten", "Tables"),
        "Tables": {
            "Type": "Map",
            "ItemsPath": "$.found.Payload.batches",
            "ItemSelector": {
                "job.$": "$.job",
                "tables.$": "$$.Map.Item.Value.tables",
            },
            "MaxConcurrency": BATCHES_AT_ONCE,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Batch",
                "States": {"Batch": each},
            },
            "ResultPath": "$.tables",
            "Catch": FAILED,
            "Next": "Removed",
        },
        "Removed": {
            "Type": "Pass",
            "Parameters": {"job.$": "$.job", "since.$": "$$.State.EnteredTime", "swept": {"Payload": {"after": {}}}},
            "Next": "Drain",
        },
    }


def proving() -> dict[str, State]:
    """Read every byte that is left; again if something had to go, and from the start if a table held anybody."""
    payload = {"job.$": "$.job", "since.$": "$.since", "after.$": "$.swept.Payload.after"}
    return {
        **quiet("Drain", "Drained", "Draining", "Sweep"),
        "Sweep": step("sweep", payload, "swept", "Swept"),
        "Swept": choice(
            {"Variable": "$.swept.Payload.state", "StringEquals": "more", "Next": "Sweep"},
            {"Variable": "$.swept.Payload.state", "StringEquals": "found", "Next": "Commit"},
            {"Variable": "$.swept.Payload.state", "StringEquals": "clean", "Next": "Certify"},
            default="Removed",
        ),
        "Certify": step("certify", {"job.$": "$.job", "execution.$": "$$.Execution.Id"}, "certified", "Begin"),
    }


def endings(notices: str) -> dict[str, State]:
    """Tell people of a failure, which says no more than where."""
    message = {
        "TopicArn": notices,
        "Subject": "Rivermill: an erasure failed",
        "Message.$": "States.Format('{}: {}: {}', $$.Execution.Name, $.error.Error, $.error.Cause)",
    }
    notify = task("sns:publish", message, result="notice", after="Failed", seconds=60, retry=[])
    return {
        "Notify": {**notify, "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.notice", "Next": "Failed"}]},
        "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
    }


FAILED: Sequence[State] = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Notify"}]


def quiet(ask: str, judge: str, pause: str, after: str) -> dict[str, State]:
    """Wait until all that was under way has ended."""
    return {
        ask: step("quiet", {"job.$": "$.job", "since.$": "$.since"}, "quiet", judge),
        judge: choice({"Variable": "$.quiet.Payload.quiet", "BooleanEquals": True, "Next": after}, default=pause),
        pause: {"Type": "Wait", "SecondsPath": "$.quiet.Payload.wait", "Next": ask},
    }


def step(name: str, payload: State, result: str, after: str | None) -> State:
    """Take a step; its answer is at `$.<result>.Payload`.  Without `after` it is all that is done with an item."""
    made = task(
        "lambda:invoke",
        {"FunctionName": names.ERASURE, "Payload": {"step": name, **payload}},
        select={"Payload.$": "$.Payload"},
        result=result,
        after=after or "",
        seconds=SECONDS,
        retry=[
            retry(LAMBDA_FAULTS, seconds=2, attempts=6),
            retry(["SubjectRemains"], seconds=1, attempts=0),
            retry(["States.TaskFailed"], seconds=5, attempts=3),
        ],
    )
    return made if after else {**without(made, "Next", "Catch"), "End": True}


def function(name: str, result: str, after: str) -> State:
    """Ask another function of the platform, of which one may be at work already."""
    return task(
        "lambda:invoke",
        {"FunctionName": name, "Payload": {}},
        select={"Payload.$": "$.Payload"},
        result=result,
        after=after,
        seconds=SECONDS,
        retry=[
            retry([BUSY], seconds=2, attempts=60, rate=1),
            retry(LAMBDA_FAULTS, seconds=2, attempts=6),
            retry(["States.TaskFailed"], seconds=5, attempts=3),
        ],
    )


def wait(seconds: int, after: str) -> State:
    """Wait a while."""
    return {"Type": "Wait", "Seconds": seconds, "Next": after}


def without(state: State, *names: str) -> State:
    """Leave out some members."""
    return {name: value for name, value in state.items() if name not in names}
