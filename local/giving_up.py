"""Wait before a batch is delivered again, and give up on one in the end: what its on-failure destination is told."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local import destinations
from local.cloud import Cloud
from local.pace import pace
from local.workers import Run

FIRST_BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 1.0, 30.0


def back_off(cloud: Cloud, stopping: threading.Event, failures: int) -> None:
    """Wait before another delivery, twice as long after each failure; no longer than until a stop."""
    seconds = min(MOST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(failures, 10) / 2)
    stopping.wait(pace(cloud).wait(seconds))


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Records that a mapping gives up: why, after how many invocations, the last of them, and where they stand.

    `place` is what the mapping's kind of source says of them, under its own name; `folder` is theirs in a bucket.
    """

    mapping: Any
    condition: str
    invocations: int
    run: Run | None
    place: Mapping[str, Mapping[str, Any]]
    folder: str
    payload: bytes

    def tell(self, cloud: Cloud, destination: str) -> None:
        """Tell a queue, topic or function where the records stand; a bucket gets them too."""
        record = self.record()
        if ":s3:" not in destination:
            destinations.send(cloud, destination, json.dumps(record))
            return
        record["payload"] = self.payload.decode()
        now = datetime.now(UTC)
        where = f"aws/lambda/{self.mapping.uuid}/{self.folder}/{now:%Y/%m/%d}"
        key = f"{where}/{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        bucket = destination.rpartition(":")[2]
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(record).encode())

    def record(self) -> dict[str, Any]:
        """Write the record as AWS does (Lambda guide, "Retain discarded batch records", of either source)."""
        run = self.run
        response: dict[str, Any] = {"statusCode": 200, "executedVersion": run.version if run else "$LATEST"}
        if run and run.failed:
            response["functionError"] = "Unhandled"
        return {
            "requestContext": {
                "requestId": run.request_id if run else str(uuid.uuid4()),
                "functionArn": self.mapping.function_arn,
                "condition": self.condition,
                "approximateInvokeCount": self.invocations,
            },
            "responseContext": response,
            "version": "1.0",
            "timestamp": iso(time.time() * 1000),
            **self.place,
        }


def iso(milliseconds: float) -> str:
    """Write a time as AWS does."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
