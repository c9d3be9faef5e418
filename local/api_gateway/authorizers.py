"""Ask a function whether a request may pass, and keep its answer.

Source: API Gateway guide, "Use API Gateway Lambda authorizers": an absent identity source is 401, without asking.
"""

from __future__ import annotations

import fnmatch
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from local.api_gateway.refusals import Refused
from local.api_gateway.requests import Request, event
from local.cloud import Cloud
from local.functions import InvocationRefused, functions

SOURCES = ("method.request.header.", "method.request.querystring.")


@dataclass(slots=True)
class Authorizers:
    """The answers of authorizers, by authorizer and identity, until they are too old."""

    cloud: Cloud
    _kept: dict[tuple[str, ...], tuple[float, list[dict[str, Any]]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, request: Request, authorizer: Any, method_arn: str, within: dict[str, Any]) -> None:
        """Let a request pass, or raise `Refused`."""
        sources = [source.strip() for source in authorizer.identity_source.split(",")]
        identity = [_identity(request, source) for source in sources]
        if not all(identity):
            raise Refused("UNAUTHORIZED")
        statements = self._statements(request, authorizer, (authorizer.id, *map(str, identity)), method_arn, within)
        if not _allows(statements, method_arn):
            raise Refused("ACCESS_DENIED")

    def _statements(
        self, request: Request, authorizer: Any, known: tuple[str, ...], method_arn: str, within: dict[str, Any]
    ) -> list[dict[str, Any]]:
        now, seconds = time.monotonic(), int(authorizer.authorizer_result_ttl or 0)
        with self._lock:
            until, statements = self._kept.get(known, (0.0, []))
        if now < until:
            return statements
        statements = self._ask(authorizer, {"type": "REQUEST", "methodArn": method_arn, **event(request, {}, within)})
        with self._lock:
            self._kept[known] = (now + seconds, statements)
        return statements

    def _ask(self, authorizer: Any, asked: dict[str, Any]) -> list[dict[str, Any]]:
        running = functions(self.cloud)
        try:
            run = running.run(running.find(function_arn(authorizer.authorizer_uri)), json.dumps(asked).encode())
            told = json.loads(run.payload)
            if run.failed:
                raise Refused("UNAUTHORIZED" if told.get("errorMessage") == "Unauthorized" else "AUTHORIZER_FAILURE")
            statements = told["policyDocument"]["Statement"]
        except (InvocationRefused, ValueError, KeyError, TypeError) as fault:
            raise Refused("AUTHORIZER_FAILURE") from fault
        return [statements] if isinstance(statements, dict) else list(statements)


def function_arn(uri: str) -> str:
    """Take a function's ARN out of the address of its invocations.

    >>> function_arn("arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:aws:lambda:r:1:function:f/invocations")
    'arn:aws:lambda:r:1:function:f'
    """
    return uri.partition("/functions/")[2].rpartition("/invocations")[0]


def _identity(request: Request, source: str) -> str | None:
    if source.startswith(SOURCES[0]):
        return request.header(source.removeprefix(SOURCES[0]))
    return next(iter(request.query.get(source.removeprefix(SOURCES[1]), [])), None)


def _allows(statements: list[dict[str, Any]], method_arn: str) -> bool:
    effects = {
        statement["Effect"]
        for statement in statements
        for resource in _listed(statement["Resource"])
        if fnmatch.fnmatchcase(method_arn, resource)
    }
    return effects == {"Allow"}


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
