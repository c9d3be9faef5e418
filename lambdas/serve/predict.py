"""Answer a person's request for predictions over HTTP."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.experiment.asked import read as read_decision
from domain.experiment.decision import UNAVAILABLE, control, said_of
from domain.experiment.declaration import MAIN_VARIANT, Experiment
from domain.experiments import EXPERIMENTS
from domain.metrics import DECISIONS_FALLBACK, PREDICTIONS, PREDICTIONS_REFUSED
from domain.serve.http import JSON, OK, answer, as_posted, posted
from domain.serve.request import BYTES_MAX, ROWS_MAX, Asked, InvalidRequest, Row, read_for
from domain.serve.variants import governing, variant
from lambdas.serve.settings import PredictSettings

RETRY_SECONDS = "1"

settings = cache(PredictSettings.read)


@cache
def runtime() -> Any:
    """Connect to the endpoint; a person waits, so it is given up soon."""
    config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
    return boto3.client("sagemaker-runtime", config=config)


@cache
def functions() -> Any:
    """Connect to the function that decides; a person waits for it too."""
    config = Config(connect_timeout=0.5, read_timeout=2, retries={"total_max_attempts": 1})
    return boto3.client("lambda", config=config)


class Unavailable(RuntimeError):
    """The endpoint did not answer."""


class NoSuchVariant(RuntimeError):
    """The endpoint has no variant of that name: it is yet to be deployed."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of a function URL (payload format 2.0)."""
    try:
        asked = read_for(posted(event, BYTES_MAX), ROWS_MAX)
        scored = answered(asked)
    except InvalidRequest as refusal:
        PREDICTIONS_REFUSED.emit(1)
        return answer(refusal.status, refusal.body())
    except Unavailable as fault:
        body = {"error": "is unavailable", "field": "endpoint", "value": str(fault), "fix": "send it again soon"}
        return answer(503, body, {"retry-after": RETRY_SECONDS})
    PREDICTIONS.emit(len(asked.rows))
    return answer(200, scored)


def answered(asked: Asked) -> dict[str, Any]:
    """Score by the model that an experiment gives the unit, and say what was decided; else by the champion."""
    experiment = governing(EXPERIMENTS)
    if experiment is None or asked.unit is None:
        return score(asked.rows)
    decision = decide(experiment, asked)
    wanted = variant(experiment, decision["arm"])
    try:
        return {**score(asked.rows, wanted), "decision": decision}
    except NoSuchVariant:  # declared, and not deployed yet: the unit is exposed to its arm all the same
        print(json.dumps({"fallback": MAIN_VARIANT, "experiment": experiment.name, "variant": wanted}))
        DECISIONS_FALLBACK.emit(1, Reason="variant_missing")
        return {**score(asked.rows), "decision": decision}


def decide(experiment: Experiment, asked: Asked) -> dict[str, Any]:
    """Ask which arm the unit gets; the exposure is logged there.  Without an answer it gets the champion, unexposed."""
    said = {"experiment": experiment.name, "unit": asked.unit, "context": asked.context or {}}
    body = json.dumps(said)
    read_decision(body.encode(), EXPERIMENTS)  # so that the refusal of a request is no fault of the function's
    try:
        found = functions().invoke(FunctionName=settings().decide, Payload=json.dumps(as_posted(body)))
        answer: dict[str, Any] = json.loads(found["Payload"].read())
        decision: dict[str, Any] = json.loads(answer["body"])
        if answer["statusCode"] == OK:
            return decision
        fault = str(answer["statusCode"])
    except (BotoCoreError, ClientError, KeyError, ValueError) as raised:
        fault = type(raised).__name__
    print(json.dumps({"fallback": "champion", "experiment": experiment.name, "fault": fault}))
    DECISIONS_FALLBACK.emit(1, Reason=UNAVAILABLE)
    return said_of(control(experiment, str(asked.unit), UNAVAILABLE))


def score(rows: list[Row], target: str | None = None) -> dict[str, Any]:
    """Ask the endpoint; raise NoSuchVariant where it lacks the one that is asked for."""
    targeted = {"TargetVariant": target} if target else {}
    try:
        found = runtime().invoke_endpoint(
            EndpointName=settings().endpoint,
            ContentType=JSON,
            Accept=JSON,
            Body=json.dumps({"instances": rows}),
            **targeted,
        )
        scored: dict[str, Any] = json.loads(found["Body"].read())
    except ClientError as fault:
        code = fault.response["Error"]["Code"]
        if target and code.startswith("Validation"):
            raise NoSuchVariant(target) from fault
        raise Unavailable(code) from fault
    except BotoCoreError as fault:  # no connection, or no answer in time
        raise Unavailable(type(fault).__name__) from fault
    return scored
