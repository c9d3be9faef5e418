"""Replay a span of arrivals: start it, wait for its end, tell how shadow and table compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clients.operations.functions import Call, CannotBeDone

FUNCTION = "rivermill-replay"
GOING = ("STARTING", "WAITING", "RUNNING", "STOPPING")
POLL_SECONDS = 5.0
COLUMNS = ("rows", "shadow_rows", "lost", "added", "changed", "doubled")


def replay(call: Call, event: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """Run a replay to its end and return its account."""
    told = call(FUNCTION, **event)
    run = {"run": told["run"], "job_run": told["job_run"]}
    while told["state"] in GOING:
        sleep(POLL_SECONDS)
        told = call(FUNCTION, **run)
    if told["state"] != "SUCCEEDED":
        raise CannotBeDone(f"the replay {run['run']} ended as {told['state']}: {told.get('error')}")
    account: dict[str, Any] = told["account"]
    return account


def lines(account: dict[str, Any]) -> Iterator[str]:
    """Tell a replay as a table by event, and what became of it."""
    if "would_read" in account:
        for event, rows in account["would_read"].items():
            yield f"{event:<14} {rows:>12,} rows would be read"
        return
    yield f"{'event':<14}" + "".join(f"{name:>13}" for name in COLUMNS)
    for event, found in account["events"].items():
        yield f"{event:<14}" + "".join(f"{found[name]:>13,}" for name in COLUMNS)
        if found["days"]:
            yield f"{'':<14} checksums differ on {', '.join(found['days'])}"
    yield outcome(account)


def outcome(account: dict[str, Any]) -> str:
    """Say in a line what became of the shadows."""
    if account["refused"]:
        refused = ", ".join(account["refused"])
        return f"refused: {refused} would lose, change or double events; ACCEPT=on allows the first two"
    if account["swapped"]:
        return f"swapped: {', '.join(account['swapped'])}"
    if all(found["equal"] for found in account["events"].values()):
        return "nothing differs: nothing to swap"
    return "not swapped: look at the branch `replay` of the tables, then type SWAP=on"
