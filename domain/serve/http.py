"""Read requests of a function URL and write its answers (payload format 2.0)."""

from __future__ import annotations

import base64
import json
from typing import Any

from domain.serve.refusal import InvalidRequest

JSON = "application/json"
OK = 200


def posted(event: dict[str, Any], bytes_max: int) -> bytes:
    """Take the body out of a POST's event; raise InvalidRequest for anything else."""
    method = event["requestContext"]["http"]["method"]
    if method != "POST":
        raise InvalidRequest("is not allowed", field="method", value=method, fix="send a POST", status=405)
    text = event.get("body") or ""
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError:
        raise InvalidRequest("is not base64", field="body", value=text[:40], fix="send UTF-8 JSON") from None
    if len(body) > bytes_max:
        raise InvalidRequest(
            "is too large", field="body", value=len(body), fix=f"send at most {bytes_max} bytes", status=413
        )
    return body


def as_posted(body: str) -> dict[str, Any]:
    """Write a POST's event, for a function that is invoked by another one."""
    return {"requestContext": {"http": {"method": "POST"}}, "body": body, "isBase64Encoded": False}


def answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Answer with JSON."""
    allow = {"allow": "POST"} if status == 405 else {}  # noqa: PLR2004
    return {
        "statusCode": status,
        "headers": {"content-type": JSON, **allow, **(headers or {})},
        "body": json.dumps(body),
    }
