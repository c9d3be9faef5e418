"""Post to a deployed REST front for a few seconds, one event a request and then batches: `python -m benchmarks.front`.

Its address and key are the stack's outputs: `FRONT_URL=… FRONT_KEY=… python -m benchmarks.front`.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit
from uuid import uuid4

SECONDS = 4.0
CONNECTIONS = 8
ROUNDS = 3
EVENT_BYTES = 1_000


def any_event() -> dict[str, object]:
    """Make a page view of about 1 KB."""
    event = {
        "event": "page_view",
        "event_id": str(uuid4()),
        "event_time": datetime.now(timezone.utc).isoformat(),
        "user_id": f"u-{uuid4().hex[:6]}",
        "page": "/",
        "device": "mobile",
        "country": "DE",
    }
    return {**event, "referrer": "https://" + "x" * (EVENT_BYTES - len(json.dumps(event)) - 24)}


def post(url: str, key: str, events: int, until: float) -> tuple[list[float], int]:
    """Post over one connection until a moment; return the milliseconds of each request, and the events accepted."""
    where = urlsplit(url)
    kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
    connection = kind(where.hostname or "", where.port)
    path, headers = where.path + ("events" if events == 1 else "batch"), {"x-api-key": key}
    took, accepted = list[float](), 0
    body = json.dumps(any_event() if events == 1 else [any_event() for _ in range(events)])
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("POST", path, body, {**headers, "content-type": "application/json"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status == 200:
            took.append((time.monotonic() - began) * 1e3)
            accepted += told["accepted"]
    connection.close()
    return took, accepted


def run(url: str, key: str, events: int) -> tuple[float, float, float]:
    """Return requests a second, events a second and the median milliseconds of a request."""
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(CONNECTIONS) as posting:
        found = list(posting.map(lambda _: post(url, key, events, until), range(CONNECTIONS)))
    took = [each for one, _ in found for each in one]
    return len(took) / SECONDS, sum(accepted for _, accepted in found) / SECONDS, statistics.median(took)


def table(url: str, key: str, sizes: Sequence[int] = (1, 20, 200)) -> str:
    """Write the medians of several rounds, and the best, as a Markdown table."""
    lines = ["| events a request | requests a second | events a second | ms a request |", "|---:|---:|---:|---:|"]
    for size in sizes:
        rounds = [run(url, key, size) for _ in range(ROUNDS)]
        requests, events, took = (statistics.median(each) for each in zip(*rounds, strict=True))
        best = max(rate for _, rate, _ in rounds)
        lines.append(f"| {size} | {requests:,.0f} | {events:,.0f} (best {best:,.0f}) | {took:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(os.environ["FRONT_URL"], os.environ["FRONT_KEY"]))
