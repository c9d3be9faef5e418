"""Serve REST APIs: find the method that a request is for, admit and check it, and have its function answer."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from moto.apigateway.models import APIGatewayBackend, apigateway_backends
from moto.logs.models import logs_backends

from local import routes
from local.api_gateway import admission, validation
from local.api_gateway.addresses import Address, addressed
from local.api_gateway.authorizers import Authorizers, function_arn
from local.api_gateway.refusals import Answer, Refused, answer, filled
from local.api_gateway.requests import MOST_BYTES, Request, context, event, read, response
from local.cloud import Cloud
from local.functions import InvocationRefused, check_payload, functions
from local.pace import pace
from local.tally import tally


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way: the API, stage and method that it is for, and the parameters in its path."""

    request: Request
    api: Any
    stage: Any
    resource: str
    method: Any
    parameters: Mapping[str, str]

    def arn(self, cloud: Cloud) -> str:
        """Name the method, as authorizers and permissions do."""
        called = f"{self.api.id}/{self.stage.name}/{self.request.method}{self.request.path}"
        return f"arn:aws:execute-api:{cloud.region}:{cloud.account}:{called}"


class RestApis:
    """Every REST API's address."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.throttles = admission.Throttles(lambda: pace(cloud).speed)
        self.authorizers = Authorizers(cloud)

    @property
    def backend(self) -> APIGatewayBackend:
        """What is declared."""
        return apigateway_backends[self.cloud.account][self.cloud.region]

    @staticmethod
    def claims(environ: routes.Environ) -> bool:
        """Say whether a request is to an API's address."""
        return addressed(str(environ.get("HTTP_HOST", "")), str(environ["PATH_INFO"])) is not None

    def __call__(self, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        asked = addressed(str(environ.get("HTTP_HOST", "")), str(environ["PATH_INFO"]))
        assert asked is not None
        status, headers, body = self._answer(read(environ, asked.path), asked)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _answer(self, request: Request, asked: Address) -> Answer:
        api = self.backend.apis.get(asked.api)
        stage = api and api.stages.get(asked.stage)
        if not stage:
            return _forbidden()
        try:
            status, headers, body = self._serve(request, api, stage)
        except Refused as refused:
            request.known.update(refused.context())
            status, headers, body = answer(refused, api.gateway_responses, self._known(request, asked))
        self._record(request, asked, stage, status, len(body))
        return status, [*headers, ("x-amzn-RequestId", request.identity)], body

    def _serve(self, request: Request, api: Any, stage: Any) -> Answer:
        call = _find(request, api, stage)
        if len(request.body) > MOST_BYTES:
            raise Refused("REQUEST_TOO_LARGE")
        self._admit(call)
        validation.check(request, api, call.method)
        return self._run(call)

    def _admit(self, call: Call) -> None:
        request, method = call.request, call.method
        if method.authorization_type == "CUSTOM":
            authorizer = call.api.authorizers[method.authorizer_id]
            self.authorizers.check(request, authorizer, call.arn(self.cloud), self._context(call))
        if str(method.api_key_required).lower() == "true":
            key = admission.key_of(self.backend, request.header("x-api-key"))
            plan = admission.plan_of(self.backend, key.id, call.api.id, call.stage.name)
            request.known["identity.apiKeyId"] = key.id
            admission.admit(self.throttles, plan, key.id)
        settings = _settings(call)
        if settings:
            rate, burst = settings["throttlingRateLimit"], settings["throttlingBurstLimit"]
            whose = (call.api.id, call.stage.name, call.resource, request.method)
            self.throttles.rate(whose, float(rate), float(burst))

    def _run(self, call: Call) -> Answer:
        running = functions(self.cloud)
        payload = json.dumps(event(call.request, call.parameters, self._context(call))).encode()
        try:
            check_payload(payload)
            run = running.run(running.find(function_arn(call.method.method_integration.uri)), payload)
        except InvocationRefused as refusal:
            raise Refused("REQUEST_TOO_LARGE" if refusal.status == 413 else "INTEGRATION_FAILURE") from refusal  # noqa: PLR2004
        if run.failed:
            timed_out = b"Task timed out" in run.payload
            raise Refused("INTEGRATION_TIMEOUT" if timed_out else "INTEGRATION_FAILURE")
        return response(run.payload)

    def _context(self, call: Call) -> dict[str, Any]:
        return context(call.request, call.api.id, call.stage.name, self.cloud.account)

    def _known(self, request: Request, asked: Address) -> dict[str, Any]:
        """Return the variables of `$context`, those of inner objects by their path."""
        told = context(request, asked.api, asked.stage, self.cloud.account)
        identity = {f"identity.{name}": value for name, value in told.pop("identity").items()}
        known = {**told, **identity, **request.known}
        return {name: value for name, value in known.items() if value is not None}

    def _record(self, request: Request, asked: Address, stage: Any, status: int, size: int) -> None:
        milliseconds = round((time.time() - request.began) * 1000)
        counted = {"Count": 1.0, "4XXError": float(400 <= status < 500), "5XXError": float(status >= 500)}  # noqa: PLR2004
        name = {"ApiName": self.backend.apis[asked.api].name}
        for where in (name, {**name, "Stage": asked.stage}):  # guide, "API Gateway dimensions for metrics"
            tally(self.cloud).add("AWS/ApiGateway", "Count", where, counted)
            tally(self.cloud).add("AWS/ApiGateway", "Milliseconds", where, {"Latency": milliseconds})
        log = stage.access_log_settings or {}
        if log.get("destinationArn") and log.get("format"):
            told = {"status": status, "responseLength": size, "responseLatency": milliseconds}
            line = filled(log["format"], {**self._known(request, asked), **told})
            self._log(log["destinationArn"].partition(":log-group:")[2].removesuffix(":*"), asked.api, line)

    def _log(self, group: str, stream: str, line: str) -> None:
        logs = logs_backends[self.cloud.account][self.cloud.region]
        logs.ensure_log_group(group)
        if stream not in logs.groups[group].streams:
            logs.create_log_stream(group, stream)
        logs.put_log_events(group, stream, [{"timestamp": int(time.time() * 1000), "message": line}])


@functools.cache
def rest_apis(cloud: Cloud) -> RestApis:
    """Return the REST APIs of a cloud, the same object each time."""
    return RestApis(cloud)


def _find(request: Request, api: Any, stage: Any) -> Call:
    """Find the method: a path of plain parts goes before one with parameters; raise `Refused` if there is none."""
    found = []
    for resource in api.resources.values():
        path = resource.get_path()
        matched = _pattern(path).fullmatch(request.path.rstrip("/") or "/")
        method = resource.resource_methods.get(request.method) or resource.resource_methods.get("ANY")
        if matched and method:
            parameters = {name: unquote(value) for name, value in matched.groupdict().items()}
            found.append((len(parameters), Call(request, api, stage, path, method, parameters)))
    if not found:
        raise Refused("MISSING_AUTHENTICATION_TOKEN")
    call = min(found, key=lambda each: each[0])[1]
    request.known["resourcePath"] = call.resource
    return call


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", path)
    return re.compile("".join(_part(part) for part in parts))


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    name = part[1:-1]
    return f"(?P<{name[:-1]}>.+)" if name.endswith("+") else f"(?P<{name}>[^/]+)"


def _settings(call: Call) -> Mapping[str, Any] | None:
    """Return the settings of a method: its own, else the stage's."""
    own = f"{call.resource.replace('/', '~1')}/{call.request.method}"
    found: Mapping[str, Any] | None = call.stage.method_settings.get(own) or call.stage.method_settings.get("*/*")
    return found


def _forbidden() -> Answer:
    return HTTPStatus.FORBIDDEN, [("Content-Type", "application/json")], b'{"message":"Forbidden"}'
