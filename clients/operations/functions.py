"""Call the platform's functions, and tell a person what they refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.privacy.audit import WITHHELD

Call = Callable[..., dict[str, Any]]
PATIENCE = Config(read_timeout=930, retries={"total_max_attempts": 1})  # a function runs for 15 minutes at most


class CannotBeDone(RuntimeError):
    """The platform refused a request or failed at it; the message says what and how to mend it."""


def call(function: str, **event: Any) -> dict[str, Any]:
    """Call a function and return its answer; raise CannotBeDone for a refusal or a failure."""
    client = boto3.client("lambda", config=PATIENCE)
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
    except client.exceptions.ResourceNotFoundException:
        raise CannotBeDone(f"there is no function {function}: deploy the stack Rivermill-Ingest") from None
    except client.exceptions.TooManyRequestsException:
        raise CannotBeDone(f"{function} is at work for somebody else: wait for its end") from None
    body: dict[str, Any] = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise CannotBeDone(f"{function} failed: {body.get('errorType')}: {body.get('errorMessage')}")
    if refused := body.get("refused"):
        raise CannotBeDone(told(**refused))
    return body


def refused_by_aws(fault: BotoCoreError | ClientError) -> str:
    """Tell whoever typed a command that AWS could not be asked, and what may be missing."""
    return f"AWS cannot be asked: {fault}; export what make local prints, or credentials"


def told(field: str, value: object, fix: str) -> str:
    """Tell a refusal; a function that keeps to itself what it was given says that in the value's place.

    >>> told("to", "soon", "write a moment"), told("purpose", "not repeated", "say why")
    ("to is 'soon': write a moment", 'purpose: say why (what was given is not repeated)')
    """
    return f"{field}: {fix} (what was given is not repeated)" if value == WITHHELD else f"{field} is {value!r}: {fix}"
