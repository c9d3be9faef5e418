"""Break things on the way, if asked to: what the guarantees must hold under."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from demo.laptop import Laptop

FAULTS: list[dict[str, Any]] = [
    {"fault": "throttle", "stream": "rivermill-events", "probability": 0.2, "share": 0.3, "seed": 1},
    {"fault": "kill", "function": "rivermill-consume", "service": "s3", "operation": "PutObject", "when": "after"}
    | {"probability": 0.03, "times": 6, "seed": 2},
    {"fault": "kill", "function": "rivermill-consume", "service": "s3", "operation": "PutObject", "when": "before"}
    | {"probability": 0.02, "times": 3, "seed": 3},
    {"fault": "duplicate", "function": "rivermill-consume", "probability": 0.3, "recut": True, "at_once": True}
    | {"seed": 4},
    {"fault": "drop", "service": "glue", "operation": "UpdateTable", "function": "rivermill-commit"}
    | {"probability": 0.5, "times": 4, "seed": 5},
]
"""Throttled puts, consumers killed around a write, batches delivered twice at once, commits whose answer is lost."""


def switch_on(laptop: Laptop, faults: list[dict[str, Any]] = FAULTS) -> None:
    """Tell the laptop cloud which faults to make from now on."""
    _ask(laptop, "PUT", json.dumps(faults).encode())


def struck(laptop: Laptop) -> list[tuple[str, int]]:
    """List the faults that are on and how often each struck."""
    return [(found["fault"], found["struck"]) for found in json.loads(_ask(laptop, "GET"))]


def _ask(laptop: Laptop, method: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(f"{laptop.endpoint}/_cloud/faults", data=body, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the laptop cloud's own address
        told: bytes = answer.read()
        return told
