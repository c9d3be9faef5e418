"""Answer a person's request for predictions over HTTP."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.metrics import PREDICTIONS, PREDICTIONS_REFUSED
from domain.serve.http import JSON, answer, posted
from domain.serve.request import BYTES_MAX, ROWS_MAX, InvalidRequest, Row, read
from lambdas.serve.settings import PredictSettings

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
        rows = read(posted(event, BYTES_MAX), ROWS_MAX)
        scored = score(rows)
    except InvalidRequest as refusal:
        PREDICTIONS_REFUSED.emit(1)
        return answer(refusal.status, refusal.body())
    except Unavailable as fault:
        body = {"error": "is unavailable", "field": "endpoint", "value": str(fault), "fix": "send it again soon"}
        return answer(503, body, {"retry-after": RETRY_SECONDS})
    PREDICTIONS.emit(len(rows))
    return answer(200, scored)


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
