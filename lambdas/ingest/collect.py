"""Put what is posted to the REST front on the stream, and say of each event whether it is there."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.ingest.bridge import connect
from domain.ingest.limits import LARGEST_RECORD
from domain.ingest.posts import Record, one, several
from domain.metrics import COLLECT_REFUSED, COLLECTED
from domain.serve.request import InvalidRequest
from lambdas.ingest.settings import CollectSettings

WAITS = (0.05, 0.15)
"""Seconds before what the stream refused is sent once more; a page may be closing, so it is told soon."""

BUSY = {"ProvisionedThroughputExceededException", "TooManyRequestsException"}
"""A stream that is full, or a bridge to a topic that carries as much as it may."""

HEADERS = "x-api-key,content-type"
REMEMBERED = "7200"  # seconds that a browser keeps an answer to a preflight; none keeps it longer
READ = {"/events": one, "/batch": several}

settings = cache(CollectSettings.read)


@cache
def stream() -> Any:
    """Connect to the stream, or to the topic in its place; the sender waits, and tries again by itself."""
    config = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
    return connect(partial(boto3.client, config=config), settings().cluster, settings().bridge)


@dataclass(frozen=True, slots=True)
class Failed:
    """An event that is not on the stream: its place in the request, the reason, and whether to send it again."""

    index: int
    error: str
    again: bool


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of a REST API (Lambda proxy integration)."""
    if event["httpMethod"] == "OPTIONS":
        return preflight(event)
    try:
        records = READ[event["resource"]](body_of(event), event["requestContext"]["requestId"])
    except InvalidRequest as refusal:
        COLLECT_REFUSED.emit(1)
        return answer(event, refusal.status, refusal.body())
    failed = put(records)
    COLLECTED.emit(len(records) - len(failed))
    return answer(event, status(records, failed), report(records, failed))


def body_of(event: dict[str, Any]) -> str:
    """Take the body out of the event; the gateway hands it over as text."""
    body = event.get("body") or ""
    return base64.b64decode(body).decode(errors="replace") if event.get("isBase64Encoded") else body


def put(records: Sequence[Record], sleep: Callable[[float], None] = time.sleep) -> list[Failed]:
    """Put records on the stream, what it refused again and alone; say what is not there in the end."""
    failed = [Failed(place, "TooLarge", again=False) for place, record in enumerate(records) if not record.fits]
    left = {place: record for place, record in enumerate(records) if record.fits}
    refused = _try(left)
    for wait in WAITS:
        if not refused:
            break
        sleep(wait)
        refused = _try({place: left[place] for place in refused})
    return sorted(
        [*failed, *(Failed(place, code, again=True) for place, code in refused.items())], key=lambda each: each.index
    )


def _try(place_to_record: Mapping[int, Record]) -> dict[int, str]:
    """Send records in one call; return the code of each that is refused, by its place."""
    if not place_to_record:
        return {}
    entries = [{"Data": record.data, "PartitionKey": record.key} for record in place_to_record.values()]
    try:
        results = stream().put_records(StreamName=settings().stream, Records=entries)["Records"]
    except ClientError as fault:
        return dict.fromkeys(place_to_record, str(fault.response["Error"]["Code"]))
    except BotoCoreError as fault:  # no connection, or no answer in time: perhaps there, so its event_id comes twice
        return dict.fromkeys(place_to_record, type(fault).__name__)
    codes = {place: result.get("ErrorCode") for place, result in zip(place_to_record, results, strict=True)}
    return {place: str(code) for place, code in codes.items() if code}


def status(records: Sequence[Record], failed: Sequence[Failed]) -> int:
    """Say 200 if anything is on the stream; else 413 if none can be, 429 if it is busy, 503 if it does not answer."""
    if len(failed) < len(records):
        return 200
    again = [each.error for each in failed if each.again]
    if not again:
        return 413
    return 429 if BUSY.intersection(again) else 503


def report(records: Sequence[Record], failed: Sequence[Failed]) -> dict[str, Any]:
    """Write what was accepted, and what was not."""
    told = [{"index": each.index, "error": each.error, "again": each.again} for each in failed]
    done: dict[str, Any] = {"accepted": len(records) - len(failed), "failed": told}
    if any(not each.again for each in failed):
        done["fix"] = f"an event has at most {LARGEST_RECORD} bytes with its user_id"
    return done


def preflight(event: dict[str, Any]) -> dict[str, Any]:
    """Tell a browser what pages of its origin may send (Fetch standard, CORS protocol)."""
    allowed = {
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": HEADERS,
        "access-control-max-age": REMEMBERED,
    }
    return {"statusCode": 204, "headers": {**allow_origin(event), **allowed}, "body": ""}


def allow_origin(event: dict[str, Any]) -> dict[str, str]:
    """Name the page's origin if it is one of those that may read the answer."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    origin, allowed = headers.get("origin"), settings().origins.split(",")
    if "*" in allowed:
        return {"access-control-allow-origin": "*"}
    return {"vary": "origin", **({"access-control-allow-origin": origin} if origin in allowed else {})}


def answer(event: dict[str, Any], code: int, body: dict[str, Any]) -> dict[str, Any]:
    """Answer with JSON."""
    headers = {"content-type": "application/json", **allow_origin(event)}
    if code in {429, 503}:
        headers["retry-after"] = "1"
    return {"statusCode": code, "headers": headers, "body": json.dumps(body)}
