"""Answer InvokeEndpoint from the endpoint's processes, and count what it does."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from botocore.exceptions import HTTPClientError
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import sagemaker_backends

from local import routes
from local.cloud import Cloud
from local.sagemaker import endpoints, server

MOST_BYTES = 6 * 1024 * 1024
FLUSH_SECONDS = 5.0
MOST_VALUES = 150  # of a datum in PutMetricData
_PATH = re.compile(r"^/endpoints/([^/]+)/invocations$")
_PASSED_ON = {
    "CONTENT_TYPE": "Content-Type",
    "HTTP_ACCEPT": "Accept",
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "X-Amzn-SageMaker-Custom-Attributes",
    "HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID": "X-Amzn-SageMaker-Inference-Id",
}
_RETURNED = {
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "X-Amzn-SageMaker-Custom-Attributes",
    "HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID": "X-Amzn-SageMaker-Inference-Id",
}

Reply = tuple[HTTPStatus, dict[str, str], bytes]


def install(cloud: Cloud) -> None:
    """Take the requests of InvokeEndpoint before moto does."""
    counts = Counts(cloud)

    def application(environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, headers, body = invoke(cloud, environ, counts)
        headers |= {"Content-Length": str(len(body)), "x-amzn-RequestId": str(uuid.uuid4())}
        start_response(f"{status.value} {status.phrase}", list(headers.items()))
        return [body]

    routes.claim(lambda environ: _PATH.match(environ["PATH_INFO"]) is not None, application)
    threading.Thread(target=counts.flush_for_ever, daemon=True).start()


def invoke(cloud: Cloud, environ: Mapping[str, Any], counts: Counts) -> Reply:
    """Return the answer to one request (WSGI)."""
    started = time.perf_counter()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    if length > MOST_BYTES:
        limit = (
            f"Value at 'body' failed to satisfy constraint: Member must have length less than or equal to {MOST_BYTES}"
        )
        return _error(HTTPStatus.BAD_REQUEST, "ValidationError", f"1 validation error detected: {limit}")
    name = _PATH.match(environ["PATH_INFO"])[1]  # type: ignore[index]
    endpoint = sagemaker_backends[cloud.account][cloud.region].endpoints.get(name)
    if endpoint is None:
        missing = f"Endpoint {name} of account {cloud.account} not found."
        return _error(HTTPStatus.BAD_REQUEST, "ValidationError", missing)
    try:
        variant = endpoints.variant_for(endpoint, environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT"))
    except ValidationError as refused:
        return _error(HTTPStatus.BAD_REQUEST, "ValidationError", refused.message)
    asked = time.perf_counter()
    reply, failed = _ask(cloud, name, variant, body, environ)
    ended = time.perf_counter()
    counts.add(name, variant.name, failed, (ended - asked) * 1e6, (asked - started) * 1e6)
    return reply


def _ask(
    cloud: Cloud, name: str, variant: endpoints.Variant, body: bytes, environ: Mapping[str, Any]
) -> tuple[Reply, int]:
    """Return the reply and the container's failing status, 0 if it did not fail."""
    headers = {header: environ[key] for key, header in _PASSED_ON.items() if environ.get(key)}
    try:
        answer = variant.server.invoke(body, headers, server.HEALTH_SECONDS)
    except server.TimedOut:
        said = "Your invocation timed out while waiting for a response from container primary."
        return _model_error(cloud, name, variant.name, 0, said), HTTPStatus.INTERNAL_SERVER_ERROR
    except ConnectionError as failure:
        return _model_error(cloud, name, variant.name, HTTPStatus.BAD_GATEWAY, str(failure)), HTTPStatus.BAD_GATEWAY
    if answer.status != HTTPStatus.OK:
        said = answer.body.decode(errors="replace")
        return _model_error(cloud, name, variant.name, answer.status, said), answer.status
    returned = {header: environ[key] for key, header in _RETURNED.items() if environ.get(key)}
    shown = {"Content-Type": answer.content_type, "x-Amzn-Invoked-Production-Variant": variant.name}
    return (HTTPStatus.OK, {**shown, **returned}, answer.body), 0


def _error(status: HTTPStatus, code: str, message: str, **more: Any) -> Reply:
    body = json.dumps({"Message": message, "message": message, **more}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-ErrorType": code}, body


def _model_error(cloud: Cloud, name: str, variant: str, status: int, said: str) -> Reply:
    """Return the error that InvokeEndpoint gives for a container's failure (API reference, ModelError)."""
    group = f"{endpoints.LOG_GROUP}/{name}"
    kind = "client" if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR else "server"
    message = (
        f'Received {kind} error ({status}) from primary with message "{said}". '
        f"See the log group {group} in account {cloud.account} for more information."
    )
    arn = f"arn:aws:logs:{cloud.region}:{cloud.account}:log-group:{group}"
    more = {"OriginalStatusCode": int(status), "OriginalMessage": said, "LogStreamArn": arn}
    return _error(HTTPStatus.FAILED_DEPENDENCY, "ModelError", message, **more)


class Counts:
    """What each variant answered since the last flush, put into CloudWatch as SageMaker puts it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, name: str, variant: str, failed: int, model: float, overhead: float) -> None:
        """Count one invocation: the container's failing status or 0, and two latencies in microseconds."""
        client = HTTPStatus.BAD_REQUEST <= failed < HTTPStatus.INTERNAL_SERVER_ERROR
        counted = {
            "Invocations": 1.0,
            "InvocationsPerInstance": 1.0,
            "Invocation4XXErrors": float(client),
            "Invocation5XXErrors": float(failed >= HTTPStatus.INTERNAL_SERVER_ERROR),
            "ModelLatency": model,
            "OverheadLatency": overhead,
        }
        with self._lock:
            for metric, value in counted.items():
                self._values[name, variant, metric].append(value)

    def flush(self) -> None:
        """Put what was counted."""
        with self._lock:
            values, self._values = self._values, defaultdict(list)
        client = self._cloud.client("cloudwatch")
        for (name, variant, metric), found in values.items():
            dimensions = [{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}]
            for datum in _data(metric, found):
                named = {"MetricName": metric, "Dimensions": dimensions, "Timestamp": time.time()}
                client.put_metric_data(Namespace="AWS/SageMaker", MetricData=[named | datum])

    def flush_for_ever(self) -> None:
        """Flush every few seconds."""
        while True:
            time.sleep(FLUSH_SECONDS)
            try:
                self.flush()
            except HTTPClientError:
                return  # the cloud is closed


def _data(metric: str, values: list[float]) -> list[dict[str, Any]]:
    """Return latencies one by one, so that they have percentiles, and counts summed up."""
    if metric.endswith("Latency"):
        parts = [values[start : start + MOST_VALUES] for start in range(0, len(values), MOST_VALUES)]
        return [{"Values": part, "Unit": "Microseconds"} for part in parts]
    ends = {"Minimum": min(values), "Maximum": max(values)}
    return [{"StatisticValues": {"SampleCount": len(values), "Sum": sum(values), **ends}, "Unit": "None"}]
