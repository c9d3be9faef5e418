"""Invoke Lambda functions in worker processes: synchronously, asynchronously with retries, or as a dry run."""

from __future__ import annotations

import base64
import functools
import json
import logging
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.awslambda.exceptions import InvalidParameterValueException, UnknownFunctionException
from moto.awslambda.models import LambdaBackend, LambdaFunction, lambda_backends
from moto.logs.models import logs_backends

from local import destinations, packages, routes
from local.cloud import Cloud
from local.embedded_metrics import embedded
from local.pace import pace
from local.tally import put, tally
from local.workers import Deployment, Pool, Run, Throttled

# AWS Lambda Developer Guide, "Lambda quotas" and "Invoking a function asynchronously".
MOST_BYTES = 6 << 20
MOST_ANSWER_BYTES = 6_291_556
MOST_BYTES_ASYNCHRONOUS = 1 << 20
RETRY_WAITS = (60.0, 120.0)
TAIL_BYTES = 4096
ASYNCHRONOUS_AT_ONCE = 8
MOST_LINES = 5_000
"""Lines of a log stream that are kept: a stream is one worker's, and its lines would fill the memory of a long day."""

_INVOCATIONS = re.compile(r"^/2015-03-31/functions/(?P<function>[^/]+)/invocations/?$")

log = logging.getLogger(__name__)


class InvocationRefused(Exception):
    """AWS's refusal of an invocation: HTTP status, error code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Attempts:
    """How an asynchronous event is tried: retries left out, and where its failure and success are reported."""

    retries: int
    most_age_seconds: float
    on_failure: str | None
    on_success: str | None
    dead_letter: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """An event on its way to a function: its ARN, the JSON, the request's id, and when it was taken (monotonic)."""

    arn: str
    payload: bytes
    request_id: str
    began: float


class Queue:
    """The asynchronous events of one function, tried by a few threads that do not hold up the cloud's end."""

    def __init__(self, name: str, attempt: Callable[[Event, int], None]) -> None:
        self._attempt = attempt
        self._events: SimpleQueue[tuple[Event, int]] = SimpleQueue()
        for number in range(ASYNCHRONOUS_AT_ONCE):
            threading.Thread(target=self._work, name=f"lambda {name} {number}", daemon=True).start()

    def put(self, event: Event, number: int) -> None:
        """Have an event tried for the `number`th time."""
        self._events.put((event, number))

    def _work(self) -> None:
        while True:
            self._attempt(*self._events.get())


class Functions:
    """The functions of the cloud and the pools of workers that run them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.backend: LambdaBackend = lambda_backends[cloud.account][cloud.region]
        self._folder = cloud.state / "lambda"
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self._queues: dict[str, Queue] = {}

    def find(self, name: str, qualifier: str | None = None) -> LambdaFunction:
        """Return a function by name or ARN. Raises `InvocationRefused` where there is none."""
        try:
            return self.backend.get_function(name, qualifier)
        except UnknownFunctionException as unknown:
            raise InvocationRefused(404, "ResourceNotFoundException", str(unknown.description)) from unknown

    def run(self, function: LambdaFunction, payload: bytes, wait: bool = False, request_id: str = "") -> Run:
        """Run a handler now, log it and count it; at the concurrency limit wait, or raise `InvocationRefused`."""
        deployment = self._deployment(function)
        pool = self._pool(function)
        where = {"FunctionName": function.function_name}
        reserved = None if function.reserved_concurrency is None else int(function.reserved_concurrency)
        if reserved == 0:
            wait = False
        try:
            run = pool.run(deployment, payload, request_id or str(uuid.uuid4()), reserved, wait)
        except Throttled:
            tally(self.cloud).add("AWS/Lambda", "Count", where, {"Throttles": 1})
            raise InvocationRefused(429, "TooManyRequestsException", "Rate Exceeded.") from None
        run = _within_limit(run)
        self._count(where, run)
        self._record(deployment, run)
        return run

    def enqueue(self, function: LambdaFunction, payload: bytes, request_id: str = "") -> None:
        """Run a handler later, with AWS's retries, destinations and dead-letter queue."""
        if len(payload) > MOST_BYTES_ASYNCHRONOUS:
            raise InvocationRefused(
                413,
                "RequestTooLargeException",
                f"{len(payload)} byte payload is too large for the Event invocation type "
                f"(limit {MOST_BYTES_ASYNCHRONOUS} bytes)",
            )
        event = Event(function.function_arn, payload, request_id or str(uuid.uuid4()), time.monotonic())
        self._queue(function).put(event, 1)

    def check(self, function: LambdaFunction) -> None:
        """Refuse, when it is deployed, a function whose layers this machine cannot stand for."""
        try:
            self._layers(function)
        except packages.MissingPackage as missing:
            raise InvalidParameterValueException(f"{function.function_name}: {missing}") from missing

    def retire(self, function_name: str) -> None:
        """End the workers of a function that is gone."""
        with self._lock:
            gone = [key for key in self._pools if key.split(":function:")[1].split(":")[0] == function_name]
            pools = [self._pools.pop(key) for key in gone]
        for pool in pools:
            pool.retire()

    def _attempt(self, event: Event, number: int) -> None:
        try:
            function = self.find(event.arn)
            attempts = _attempts(function)
            run = self.run(function, event.payload, wait=True, request_id=event.request_id)
            age = (time.monotonic() - event.began) * pace(self.cloud).speed
            if not run.failed:
                self._report(attempts.on_success, event, run, "Success", number)
            elif number > attempts.retries:
                self._give_up(attempts, event, run, "RetriesExhausted", number)
            elif age >= attempts.most_age_seconds:
                self._give_up(attempts, event, run, "EventAgeExceeded", number)
            else:
                self._try_later(function, event, number)
        except Exception:  # there is no caller left to tell; the log is all there is
            log.exception("asynchronous invocation %s of %s", event.request_id, event.arn)

    def _try_later(self, function: LambdaFunction, event: Event, number: int) -> None:
        seconds = pace(self.cloud).wait(RETRY_WAITS[number - 1])
        timer = threading.Timer(seconds, self._queue(function).put, (event, number + 1))
        timer.daemon = True
        timer.start()

    def _give_up(self, attempts: Attempts, event: Event, run: Run, condition: str, number: int) -> None:
        self._report(attempts.on_failure, event, run, condition, number)
        if attempts.dead_letter:
            message = str(json.loads(run.payload)["errorMessage"])[:1024]
            attributes = {"RequestID": run.request_id, "ErrorCode": "200", "ErrorMessage": message}
            destinations.send(self.cloud, attempts.dead_letter, event.payload.decode(), attributes)

    def _report(self, arn: str | None, event: Event, run: Run, condition: str, number: int) -> None:
        if not arn:
            return
        response: dict[str, Any] = {"statusCode": 200, "executedVersion": run.version}
        if run.failed:
            response["functionError"] = "Unhandled"
        record = {
            "version": "1.0",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": run.request_id,
                "functionArn": f"{event.arn}:{run.version}",
                "condition": condition,
                "approximateInvokeCount": number,
            },
            "requestPayload": json.loads(event.payload),
            "responseContext": response,
            "responsePayload": json.loads(run.payload),
        }
        destinations.send(self.cloud, arn, json.dumps(record))

    def _pool(self, function: LambdaFunction) -> Pool:
        with self._lock:
            return self._pools.setdefault(f"{function.function_arn}:{function.version}", Pool(self.cloud))

    def _queue(self, function: LambdaFunction) -> Queue:
        with self._lock:
            if function.function_name not in self._queues:
                self._queues[function.function_name] = Queue(function.function_name, self._attempt)
            return self._queues[function.function_name]

    def _deployment(self, function: LambdaFunction) -> Deployment:
        if function.package_type == "Image" or not str(function.run_time).startswith("python"):
            raise NotImplementedError(
                f"Lambda runtime {function.run_time or 'of an image'} ({function.function_name}); Python zips run"
            )
        logging_config = getattr(function, "logging_config", None) or {}
        try:
            return Deployment(
                name=function.function_name,
                version=str(function.version),
                arn=function.function_arn,
                handler=function.handler,
                runtime=function.run_time,
                memory_mb=int(function.memory_size),
                timeout_seconds=int(function.timeout),
                environment=tuple(sorted((name, str(value)) for name, value in function.environment_vars.items())),
                code=packages.unpacked(self._folder, function.code_bytes, function.code_digest),
                layers=self._layers(function),
                log_group=logging_config.get("LogGroup") or f"/aws/lambda/{function.function_name}",
                log_format=logging_config.get("LogFormat", "Text"),
                log_level=logging_config.get(
                    "ApplicationLogLevel", "INFO" if logging_config.get("LogFormat") == "JSON" else "WARNING"
                ),
            )
        except packages.MissingPackage as missing:
            raise InvocationRefused(502, "InvalidRuntimeException", f"{function.function_name}: {missing}") from missing

    def _layers(self, function: LambdaFunction) -> Path | None:
        found = [self.backend.layers_versions_by_arn(layer["Arn"]) for layer in function.layers]
        layers = [(layer.code_digest, layer.code_bytes) for layer in found if layer]
        return packages.layered(self._folder, layers) if layers else None

    def _count(self, where: dict[str, str], run: Run) -> None:
        tally(self.cloud).add("AWS/Lambda", "Count", where, {"Invocations": 1, "Errors": float(run.failed)})
        tally(self.cloud).add("AWS/Lambda", "Milliseconds", where, {"Duration": run.milliseconds})

    def _record(self, deployment: Deployment, run: Run) -> None:
        """Put the run's lines into CloudWatch Logs, and the metrics embedded in them into CloudWatch."""
        logs = logs_backends[self.cloud.account][self.cloud.region]
        logs.ensure_log_group(deployment.log_group)
        streams = logs.groups[deployment.log_group].streams
        if run.log_stream not in streams:
            logs.create_log_stream(deployment.log_group, run.log_stream)
        now = int(time.time() * 1000)
        logs.put_log_events(
            deployment.log_group, run.log_stream, [{"timestamp": now, "message": line} for line in run.lines]
        )
        del streams[run.log_stream].events[:-MOST_LINES]
        for line in run.lines:
            for namespace, datum in embedded(line):
                put(self.cloud, namespace, [datum])


class InvokeCall:
    """Lambda's Invoke over HTTP."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    @staticmethod
    def claims(environ: routes.Environ) -> bool:
        """Say whether a request is an Invoke."""
        return environ["REQUEST_METHOD"] == "POST" and _INVOCATIONS.match(environ["PATH_INFO"]) is not None

    def __call__(self, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        try:
            status, headers, body = self._answer(environ)
        except InvocationRefused as refusal:
            status, headers, body = _refusal(refusal)
        start_response(
            status, [("Content-Type", "application/json"), ("x-amzn-RequestId", str(uuid.uuid4())), *headers]
        )
        return [body]

    def _answer(self, environ: routes.Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        matched = _INVOCATIONS.match(environ["PATH_INFO"])
        assert matched is not None
        qualifier = parse_qs(environ.get("QUERY_STRING", "")).get("Qualifier", [None])[0]
        function = self._functions.find(unquote(matched["function"]), qualifier)
        payload = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}"
        kind = environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse")
        check_payload(payload)
        if kind == "DryRun":
            return "204 No Content", [], b""
        if kind == "Event":
            self._functions.enqueue(function, payload)
            return "202 Accepted", [], b""
        run = self._functions.run(function, payload)
        headers = [("X-Amz-Executed-Version", run.version)]
        if run.failed:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        if environ.get("HTTP_X_AMZ_LOG_TYPE") == "Tail":
            tail = "\n".join(run.lines).encode()[-TAIL_BYTES:]
            headers.append(("X-Amz-Log-Result", base64.b64encode(tail).decode()))
        return "200 OK", headers, run.payload


def check_payload(payload: bytes) -> None:
    """Refuse an event that is too large or no JSON, as AWS does."""
    if len(payload) > MOST_BYTES:
        message = f"Request must be smaller than {MOST_BYTES} bytes for the InvokeFunction operation"
        raise InvocationRefused(413, "RequestTooLargeException", message)
    try:
        json.loads(payload)
    except ValueError as wrong:
        message = f"Could not parse request body into json: {wrong}"
        raise InvocationRefused(400, "InvalidRequestContentException", message) from wrong


@functools.cache
def functions(cloud: Cloud) -> Functions:
    """Return the functions of a cloud, made once."""
    return Functions(cloud)


@functools.cache
def install(cloud: Cloud) -> None:
    """Run moto's Lambda functions in worker processes, wherever they are invoked from."""
    shutil.rmtree(cloud.state / "lambda" / "workers", ignore_errors=True)
    running = functions(cloud)
    call = InvokeCall(running)
    routes.claim(call.claims, call)
    _mend_function(running)


def _mend_function(running: Functions) -> None:
    """Let moto's own callers (S3, SNS, EventBridge, Logs) reach the workers, and keep what moto forgets."""
    made, configured, described = (
        LambdaFunction.__init__,
        LambdaFunction.update_configuration,
        LambdaFunction.get_configuration,
    )
    deleted = LambdaBackend.delete_function

    def make(self: Any, account_id: str, spec: dict[str, Any], *rest: Any, **keywords: Any) -> None:
        self.dead_letter, self.logging_config = None, None
        made(self, account_id, spec, *rest, **keywords)
        _keep(self, spec)
        running.check(self)

    def configure(self: Any, updates: dict[str, Any]) -> Any:
        configured(self, updates)
        _keep(self, updates)
        running.check(self)
        return self.get_configuration()

    def describe(self: Any, *rest: Any, **keywords: Any) -> Any:
        configuration = described(self, *rest, **keywords)
        if self.dead_letter:
            configuration["DeadLetterConfig"] = self.dead_letter
        default = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self.function_name}"}
        configuration["LoggingConfig"] = {**default, **(self.logging_config or {})}
        return configuration

    def invoke(self: Any, body: Any, *_: Any) -> bytes:
        running.enqueue(self, body if isinstance(body, bytes) else body.encode())
        return b""

    def delete(self: Any, function_name: str, qualifier: str | None = None) -> None:
        name = self.get_function(function_name, qualifier).function_name
        deleted(self, function_name, qualifier)
        running.retire(name)

    LambdaFunction.__init__ = make
    LambdaFunction.update_configuration = configure
    LambdaFunction.get_configuration = describe
    LambdaFunction.invoke = invoke
    LambdaBackend.delete_function = delete


def _keep(function: Any, spec: dict[str, Any]) -> None:
    if "DeadLetterConfig" in spec:
        function.dead_letter = spec["DeadLetterConfig"]
    if "LoggingConfig" in spec:
        function.logging_config = spec["LoggingConfig"]
    if "TracingConfig" in spec:
        function.tracing_config = spec["TracingConfig"]
    if "EphemeralStorage" in spec:
        function.ephemeral_storage = int(spec["EphemeralStorage"]["Size"])


def _attempts(function: Any) -> Attempts:
    config = function.event_invoke_config[-1].config if function.event_invoke_config else {}
    chosen = config.get("DestinationConfig", {})
    return Attempts(
        retries=int(config.get("MaximumRetryAttempts", len(RETRY_WAITS))),
        most_age_seconds=float(config.get("MaximumEventAgeInSeconds", 21_600)),
        on_failure=chosen.get("OnFailure", {}).get("Destination"),
        on_success=chosen.get("OnSuccess", {}).get("Destination"),
        dead_letter=(function.dead_letter or {}).get("TargetArn"),
    )


def _within_limit(run: Run) -> Run:
    if len(run.payload) <= MOST_ANSWER_BYTES:
        return run
    described = {
        "errorMessage": f"Response payload size exceeded maximum allowed payload size ({MOST_ANSWER_BYTES} bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    return Run(
        run.request_id, json.dumps(described).encode(), True, run.version, run.lines, run.log_stream, run.milliseconds
    )


def _refusal(refusal: InvocationRefused) -> tuple[str, list[tuple[str, str]], bytes]:
    kind = "User" if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Service"
    described = {"Type": kind, "Message": str(refusal), "message": str(refusal)}
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        described["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
    return f"{refusal.status} Refused", [("x-amzn-ErrorType", refusal.code)], json.dumps(described).encode()
