"""Answer in the gateway's own name, as its responses say. Source: API Gateway guide, "Gateway response types"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Answer = tuple[int, list[tuple[str, str]], bytes]

# The type, its status unless told otherwise, and what it says.
TYPES: dict[str, tuple[int, str]] = {
    "ACCESS_DENIED": (403, "User is not authorized to access this resource"),
    "AUTHORIZER_FAILURE": (500, "Internal server error"),
    "BAD_REQUEST_BODY": (400, "Invalid request body"),
    "BAD_REQUEST_PARAMETERS": (400, "Missing required request parameters"),
    "INTEGRATION_FAILURE": (502, "Internal server error"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "INVALID_API_KEY": (403, "Forbidden"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "QUOTA_EXCEEDED": (429, "Limit Exceeded"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "THROTTLED": (429, "Too Many Requests"),
    "UNAUTHORIZED": (401, "Unauthorized"),
}
USUAL = {"application/json": '{"message":$context.error.messageString}'}
_VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_.]+)")


class Refused(Exception):
    """The gateway answers a request itself; `kind` is the type of its response, `detail` what validation found."""

    def __init__(self, kind: str, detail: str = "", message: str = "") -> None:
        super().__init__(kind)
        self.kind, self.detail, self.message = kind, detail, message or TYPES[kind][1]

    def context(self) -> dict[str, Any]:
        """Return the variables that tell the refusal."""
        return {
            "error.message": self.message,
            "error.messageString": json.dumps(self.message),
            "error.responseType": self.kind,
            "error.validationErrorString": self.detail,
        }


def answer(refused: Refused, responses: Mapping[str, Any], context: Mapping[str, Any]) -> Answer:
    """Answer as the type's own response says, else as DEFAULT_4XX or DEFAULT_5XX, else as AWS does."""
    usual = TYPES[refused.kind][0]
    chosen = responses.get(refused.kind) or responses.get(f"DEFAULT_{usual // 100}XX")
    status = int((chosen and chosen.status_code) or usual)
    templates = (chosen and chosen.response_templates) or USUAL
    kind, template = next(iter(templates.items()))
    headers = [("Content-Type", kind), ("x-amzn-ErrorType", refused.kind.title().replace("_", ""))]
    for name, value in ((chosen and chosen.response_parameters) or {}).items():
        headers.append((_header(name), _header_value(value)))
    return status, headers, filled(template, context).encode()


def filled(template: str, context: Mapping[str, Any]) -> str:
    """Put the variables of `$context` into a text; one that has no value is a dash, as in access logs.

    >>> filled('{"status": "$context.status", "key": "$context.identity.apiKeyId"}', {"status": 200})
    '{"status": "200", "key": "-"}'
    """
    return _VARIABLE.sub(lambda found: str(context.get(found[1].rstrip("."), "-")), template)


def check_parameter(name: str, value: str) -> None:
    """Refuse, when it is deployed, a header of a response that is not a text in quotes."""
    _header(name)
    _header_value(value)


def _header(name: str) -> str:
    if not name.startswith("gatewayresponse.header."):
        raise NotImplementedError(
            f"ResponseParameters {name} of a gateway response; name gatewayresponse.header.<name>"
        )
    return name.removeprefix("gatewayresponse.header.")


def _header_value(value: str) -> str:
    if not (len(value) > 1 and value[0] == value[-1] == "'"):
        raise NotImplementedError(
            f"ResponseParameters value {value} of a gateway response; give a text in single quotes"
        )
    return value[1:-1]
