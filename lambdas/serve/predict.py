"""Answer a person's request for predictions over HTTP."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.metrics import PREDICTIONS, PREDICTIONS_REFUSED
from domain.serve.request import BYTES_MAX, ROWS_MAX, InvalidRequest, Row, read
from lambdas.serve.settings import PredictSettings

JSON = "application/json"
RETRY_SECONDS = "1"

settings = cache(PredictSettings.read)


@cache
def runtime() -> Any:
    """Connect to the endpoint; a person waits, so it is given up soon."""
    config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
    return boto3.client("sagemaker-runtime", config=config)


class Unavailable(RuntimeError):
    """The endpoint did not answer."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of a function URL (payload format 2.0)."""
    try:
        rows = read(body_of(event), ROWS_MAX)
        scored = score(rows)
    except InvalidRequest as refusal:
        PREDICTIONS_REFUSED.emit(1)
        return answer(refusal.status, refusal.body())
    except Unavailable as fault:
        body = {"error": "is unavailable", "field": "endpoint", "value": str(fault), "fix": "send it again soon"}
        return answer(503, body, {"retry-after": RETRY_SECONDS})
    PREDICTIONS.emit(len(rows))
    return answer(200, scored)


def body_of(event: dict[str, Any]) -> bytes:
    """Take the body out of the event."""
    method = event["requestContext"]["http"]["method"]
    if method != "POST":
        raise InvalidRequest("is not allowed", field="method", value=method, fix="send a POST", status=405)
    text = event.get("body") or ""
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError:
        raise InvalidRequest("is not base64", field="body", value=text[:40], fix="send UTF-8 JSON") from None
    if len(body) > BYTES_MAX:
        raise InvalidRequest(
            "is too large", field="body", value=len(body), fix=f"send at most {BYTES_MAX} bytes", status=413
        )
    return body


def score(rows: list[Row]) -> dict[str, Any]:
    """Ask the endpoint."""
    try:
        found = runtime().invoke_endpoint(
            EndpointName=settings().endpoint,
            ContentType=JSON,
            Accept=JSON,
            Body=json.dumps({"instances": rows}),
        )
        scored: dict[str, Any] = json.loads(found["Body"].read())
    except ClientError as fault:
        raise Unavailable(fault.response["Error"]["Code"]) from fault
    except BotoCoreError as fault:  # no connection, or no answer in time
        raise Unavailable(type(fault).__name__) from fault
    return scored


def answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Answer with JSON."""
    allow = {"allow": "POST"} if status == 405 else {}  # noqa: PLR2004
    return {
        "statusCode": status,
        "headers": {"content-type": JSON, **allow, **(headers or {})},
        "body": json.dumps(body),
    }
