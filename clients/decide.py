"""Ask which arm of an experiment a unit gets, and tell later what came of it.

>>> from clients.decide import decide, rewarded
>>> decision = decide("ranking", "u-1", {"country": "DE"})   # doctest: +SKIP
>>> rewarded(decision, 1.0)                                  # doctest: +SKIP
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from http.client import HTTPException
from os import environ
from typing import Any
from urllib.error import HTTPError

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from domain.experiment.decision import UNAVAILABLE, Decision, control
from domain.experiment.features import Value
from domain.experiments import EXPERIMENTS
from domain.serve.refusal import InvalidRequest

STACK, OUTPUT = "Rivermill-Experiment", "DecideUrl"
STREAM = "rivermill-events"
SECONDS = 2.0

__all__ = ["Decision", "HTTPError", "InvalidRequest", "decide", "reward", "rewarded"]

client = cache(boto3.client)


def decide(
    experiment: str, unit: str, context: Mapping[str, Value] | None = None, *, url: str | None = None
) -> Decision:
    """Ask the platform for a unit's arm; the exposure is logged there.

    Where the platform does not answer within two seconds a unit gets the control, for the reason `unavailable`, so that
    no page waits.  Raises InvalidRequest for a request that is wrong, and HTTPError for one that AWS does not let in.
    """
    body = json.dumps({"experiment": experiment, "unit": unit, "context": dict(context or {})}).encode()
    try:
        with urllib.request.urlopen(_signed(url or address(), body), timeout=SECONDS) as answer:  # noqa: S310
            said = json.load(answer)
    except HTTPError as refusal:
        if refusal.code >= 500:  # noqa: PLR2004 - the platform's fault
            return _control(experiment, unit)
        said = _refusal(refusal)
        if "field" not in said:
            raise
        raise InvalidRequest(**said, status=refusal.code) from None
    except (OSError, HTTPException, ValueError):
        return _control(experiment, unit)
    said["decision_id"] = said.pop("decision")
    return Decision(**said)


def rewarded(decision: Decision, value: float, name: str = "", *, stream: str = STREAM, to: Any = None) -> None:
    """Tell what came of a decision, from 0 to 1; sent again it counts once, and with another `name` once more.

    Units that are not part of the experiment have nothing to tell: nothing is sent for them.  `to` is what the stream
    is reached by where it is not Kinesis: `clients.producer.kafka.KafkaTopics`.
    """
    if decision.decision_id is not None:
        data = json.dumps(reward(decision, value, name)).encode()
        (to or client("kinesis")).put_record(StreamName=stream, Data=data, PartitionKey=decision.unit)


def reward(decision: Decision, value: float, name: str = "", at: datetime | None = None) -> dict[str, Any]:
    """Write the reward of a decision as the contract's event, for a producer of your own."""
    return {
        "event": "reward",
        "event_id": f"{decision.decision_id}-{name}" if name else f"{decision.decision_id}-r",
        "event_time": (at or datetime.now(timezone.utc)).isoformat(timespec="milliseconds"),
        "user_id": decision.unit,
        "experiment": decision.experiment,
        "arm": decision.arm,
        "value": value,
    }


@cache
def address() -> str:
    """Find where decisions are asked for: DECIDE_URL, or else the stack's output."""
    if given := environ.get("DECIDE_URL"):
        return given
    [stack] = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return str(next(each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == OUTPUT))


@cache
def _session() -> boto3.Session:
    return boto3.Session()


def _signed(url: str, body: bytes) -> urllib.request.Request:
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(_session().get_credentials(), "lambda", _session().region_name).add_auth(request)
    return urllib.request.Request(url, data=body, headers=dict(request.headers), method="POST")  # noqa: S310


def _refusal(answer: HTTPError) -> dict[str, Any]:
    try:
        found = json.load(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _control(experiment: str, unit: str) -> Decision:
    if experiment in EXPERIMENTS:
        return control(EXPERIMENTS[experiment], unit, UNAVAILABLE)
    raise InvalidRequest(
        "is not declared", field="experiment", value=experiment, fix=f"ask for one of {', '.join(sorted(EXPERIMENTS))}"
    )
