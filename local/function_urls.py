"""Answer a function's own address: requests become events of payload format 2.0, and answers become responses.

Source: AWS Lambda Developer Guide, "Invoking Lambda function URLs".
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.awslambda.exceptions import GenericResourcNotFound
from moto.awslambda.models import FunctionUrlConfig

from local import routes
from local.cloud import Cloud
from local.functions import Functions, InvocationRefused, check_payload, functions
from local.workers import Run

PREFIX = "/_url/"
_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "application/x-www-form-urlencoded")

Answer = tuple[int, list[tuple[str, str]], bytes]


def address(cloud: Cloud, function: str) -> str:
    """Return the address of a function, as AWS's FunctionUrl."""
    return f"{cloud.endpoint}{PREFIX}{function}/"


class FunctionUrls:
    """Every function's address."""

    def __init__(self, running: Functions) -> None:
        self._functions = running

    @staticmethod
    def claims(environ: routes.Environ) -> bool:
        """Say whether a request is to a function's address."""
        return str(environ["PATH_INFO"]).startswith(PREFIX)

    def __call__(self, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        status, headers, body = self._answer(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _answer(self, environ: routes.Environ) -> Answer:
        name, _, path = str(environ["PATH_INFO"])[len(PREFIX) :].partition("/")
        try:
            function = self._functions.find(unquote(name))
            config = function.get_url_config().config
        except (InvocationRefused, GenericResourcNotFound):
            return _message(HTTPStatus.NOT_FOUND, f"function {name} has no URL")
        if config.get("AuthType") == "AWS_IAM" and not environ.get("HTTP_AUTHORIZATION"):
            return _message(HTTPStatus.FORBIDDEN, "Forbidden")
        payload = json.dumps(event(environ, name, f"/{path}", self._functions.cloud)).encode()
        try:
            check_payload(payload)
            return response(self._functions.run(function, payload))
        except InvocationRefused as refusal:
            return _message(HTTPStatus(refusal.status), str(refusal))


def event(environ: routes.Environ, name: str, path: str, cloud: Cloud) -> dict[str, Any]:
    """Write a request as payload format 2.0."""
    body, is_text = environ["wsgi.input"].read(), _is_text(environ.get("CONTENT_TYPE", ""))
    headers = {
        key[5:].replace("_", "-").lower(): str(value) for key, value in environ.items() if key.startswith("HTTP_")
    }
    cookies = headers.pop("cookie", "")
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = str(environ[key])
    query = environ.get("QUERY_STRING", "")
    now = time.time()
    written: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": cloud.account if "authorization" in headers else "anonymous",
            "apiId": name,
            "domainName": headers.get("host", ""),
            "domainPrefix": name,
            "http": {
                "method": environ["REQUEST_METHOD"],
                "path": path,
                "protocol": environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
                "sourceIp": environ.get("REMOTE_ADDR", "127.0.0.1"),
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(body) and not is_text,
    }
    if query:
        parsed = parse_qs(query, keep_blank_values=True)
        written["queryStringParameters"] = {key: ",".join(values) for key, values in parsed.items()}
    if cookies:
        written["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if body:
        written["body"] = body.decode(errors="replace") if is_text else b64encode(body).decode()
    return written


def response(run: Run) -> Answer:
    """Read a function's answer: an object with a `statusCode`, or any JSON, which is sent as it is with 200."""
    if run.failed:
        return _message(HTTPStatus.BAD_GATEWAY, "Internal Server Error")
    answer = json.loads(run.payload)
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return HTTPStatus.OK, [("Content-Type", "application/json")], run.payload
    headers = {"Content-Type": "application/json"} | {
        name.title(): str(value) for name, value in (answer.get("headers") or {}).items()
    }
    pairs = [*headers.items(), *(("Set-Cookie", cookie) for cookie in answer.get("cookies", ()))]
    body = answer.get("body") or ""
    content = body if isinstance(body, str) else json.dumps(body)
    return int(answer["statusCode"]), pairs, b64decode(content) if answer.get("isBase64Encoded") else content.encode()


def _is_text(content_type: str) -> bool:
    return content_type.startswith(_TEXT) or "charset" in content_type


def _message(status: HTTPStatus, text: str) -> Answer:
    return status, [("Content-Type", "application/json")], json.dumps({"Message": text}).encode()


@functools.cache
def install(cloud: Cloud) -> None:
    """Give functions an address on this cloud, and answer it."""
    urls = FunctionUrls(functions(cloud))
    made = FunctionUrlConfig.__init__

    def make(self: Any, function: Any, config: dict[str, Any]) -> None:
        if config.get("InvokeMode", "BUFFERED") != "BUFFERED":
            raise NotImplementedError(f"InvokeMode {config['InvokeMode']} of a function URL; use BUFFERED")
        made(self, function, {**config, "InvokeMode": "BUFFERED"})
        self.url = address(cloud, function.function_name)

    FunctionUrlConfig.__init__ = make
    routes.claim(urls.claims, urls)
