"""A request as the gateway sees it, the event that a function gets of it, and the answer that it gives.

Source: API Gateway guide, "Set up Lambda proxy integrations", input and output format.
"""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from local import routes
from local.api_gateway.refusals import Answer, Refused

MOST_BYTES = 10_485_760  # API Gateway quotas, "Payload size"


@dataclass(slots=True)
class Request:
    """One request: what was sent, and what the gateway has learned of it."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    body: bytes
    source: str
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = field(default_factory=time.time)
    known: dict[str, Any] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """Return a header, whatever the case of its name."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)


def read(environ: routes.Environ, path: str) -> Request:
    """Read a request."""
    headers = {
        key[5:].replace("_", "-").title(): str(value) for key, value in environ.items() if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").title()] = str(environ[key])
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    return Request(
        str(environ["REQUEST_METHOD"]),
        path,
        headers,
        query,
        environ["wsgi.input"].read(),
        str(environ.get("REMOTE_ADDR", "127.0.0.1")),
    )


def context(request: Request, api: str, stage: str, account: str) -> dict[str, Any]:
    """Write the request context that functions and authorizers get."""
    return {
        "accountId": account,
        "apiId": api,
        "stage": stage,
        "httpMethod": request.method,
        "path": f"/{stage}{request.path}",
        "resourcePath": request.known.get("resourcePath"),
        "requestId": request.identity,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(request.began)),
        "requestTimeEpoch": int(request.began * 1000),
        "protocol": "HTTP/1.1",
        "domainName": request.header("host") or "",
        "identity": {
            "sourceIp": request.source,
            "userAgent": request.header("user-agent"),
            "apiKey": request.header("x-api-key"),
            "apiKeyId": request.known.get("identity.apiKeyId"),
        },
    }


def event(request: Request, parameters: Mapping[str, str], within: Mapping[str, Any]) -> dict[str, Any]:
    """Write a request as a proxy integration's event; without binary media types a body is text in UTF-8."""
    return {
        "resource": within["resourcePath"],
        "path": request.path,
        "httpMethod": request.method,
        "headers": request.headers,
        "multiValueHeaders": {name: [value] for name, value in request.headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in request.query.items()} or None,
        "multiValueQueryStringParameters": request.query or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": None,
        "requestContext": dict(within),
        "body": request.body.decode(errors="replace") if request.body else None,
        "isBase64Encoded": False,
    }


def response(payload: bytes) -> Answer:
    """Read a function's answer; one that is not of the proxy's format is a fault of the integration."""
    try:
        told = json.loads(payload)
        status, body = int(told["statusCode"]), told.get("body") or ""
        content = b64decode(body) if told.get("isBase64Encoded") else body.encode()
        pairs = [(name, str(value)) for name, value in (told.get("headers") or {}).items()]
        pairs += [(name, str(each)) for name, more in (told.get("multiValueHeaders") or {}).items() for each in more]
    except (ValueError, KeyError, TypeError, AttributeError) as malformed:
        raise Refused("INTEGRATION_FAILURE") from malformed
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "application/json"))
    return status, pairs, content
