"""Break things on purpose, reproducibly, so that guarantees can be tested under faults.

`PUT /_cloud/faults` takes a JSON list of faults and replaces the ones before; `GET` shows how often each was considered
and how often it struck. Each fault is an object whose `fault` names its kind; its fields are those of the class below:

    [{"fault": "throttle", "stream": "events", "probability": 0.2, "share": 0.3, "seed": 7},
     {"fault": "kill", "function": "consume", "service": "s3", "operation": "PutObject", "nth": 3, "when": "after"},
     {"fault": "drop", "service": "glue", "operation": "UpdateTable"},
     {"fault": "duplicate", "function": "consume", "probability": 0.1, "recut": true, "at_once": true}]
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import NotFound

from local import routes
from local.cloud import Cloud
from local.stream_batches import Item
from local.wire import Dropped
from local.workers import Run, Worker, holder

PATH = "/_cloud/faults"
_ONWARD = "local.onward"
_STRIKES = "local.faults"

log = logging.getLogger(__name__)


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault"):
    """When a fault strikes: at its `nth` chance, else with `probability` at each, at most `times` times."""

    probability: float = 1.0
    nth: int | None = None
    times: int | None = None
    seed: int = 0


class Throttle(Fault, frozen=True, tag="throttle"):
    """A put is refused: a `share` of its records with `code`, or the `whole` call."""

    stream: str
    share: float = 0.5
    whole: bool = False
    code: Literal["ProvisionedThroughputExceededException", "InternalFailure"] = (
        "ProvisionedThroughputExceededException"
    )


class Kill(Fault, frozen=True, tag="kill"):
    """A worker of `function` dies before a call of its own is executed, or after it and before the answer."""

    function: str
    service: str
    operation: str
    when: Literal["before", "after"] = "after"


class Drop(Fault, frozen=True, tag="drop"):
    """A call is executed, and its answer lost: the caller sees the connection end. Any caller, or one function's."""

    service: str
    operation: str
    function: str | None = None


class Duplicate(Fault, frozen=True, tag="duplicate"):
    """A batch is delivered twice: once ending elsewhere (`recut`), both at the same time (`at_once`).

    Both begin where the batch does: a source hands over no record of a shard before those ahead of it are done.
    """

    function: str
    recut: bool = False
    at_once: bool = False


class Delay(Fault, frozen=True, tag="delay"):
    """A batch is delivered late."""

    function: str
    seconds: float


AnyFault = Throttle | Kill | Drop | Duplicate | Delay


class Armed:
    """A fault that is switched on, with its own seeded chance and its account; safe between threads."""

    def __init__(self, fault: AnyFault) -> None:
        self.fault = fault
        self.considered = 0
        self.struck = 0
        self.chance = random.Random(fault.seed)  # noqa: S311 - a reproducible fault, not a secret
        self._lock = threading.Lock()

    def strikes(self) -> bool:
        """Count a chance; say whether the fault strikes at it."""
        fault = self.fault
        with self._lock:
            self.considered += 1
            if fault.times is not None and self.struck >= fault.times:
                return False
            struck = self.considered == fault.nth if fault.nth else self.chance.random() < fault.probability
            self.struck += struck
            return struck

    def account(self) -> dict[str, Any]:
        """Describe it."""
        return {**msgspec.to_builtins(self.fault), "considered": self.considered, "struck": self.struck}


_armed: list[Armed] = []


def arm(faults: Sequence[AnyFault]) -> None:
    """Switch on these faults and no others."""
    _armed[:] = [Armed(fault) for fault in faults]


def put_codes(stream: str, count: int) -> tuple[str | None, list[str | None]]:
    """Return the code that refuses a whole put, if one does, and for each record the code that refuses it, or None."""
    codes: list[str | None] = [None] * count
    for armed in _of(Throttle):
        fault = armed.fault
        assert isinstance(fault, Throttle)
        if fault.stream != stream or not armed.strikes():
            continue
        if fault.whole:
            return fault.code, codes
        codes = [fault.code if armed.chance.random() < fault.share else code for code in codes]
    return None, codes


def delivered(function: str, items: Sequence[Item], invoke: Callable[[Sequence[Item]], Run]) -> Run:
    """Deliver a batch with `invoke`, late or twice where a fault strikes; return the run that counts."""
    for armed in _of(Delay):
        if armed.fault.function == function and armed.strikes():  # type: ignore[union-attr]
            time.sleep(armed.fault.seconds)  # type: ignore[union-attr]
    for armed in _of(Duplicate):
        if armed.fault.function == function and armed.strikes():  # type: ignore[union-attr]
            return _twice(armed, items, invoke)
    return invoke(items)


def _twice(armed: Armed, items: Sequence[Item], invoke: Callable[[Sequence[Item]], Run]) -> Run:
    fault = armed.fault
    assert isinstance(fault, Duplicate)
    other = items
    if fault.recut and len(items) > 1:
        other = items[: armed.chance.randrange(1, len(items))]
    if not fault.at_once:
        invoke(other)
        return invoke(items)
    echo = threading.Thread(target=invoke, args=(other,), name="duplicate delivery", daemon=True)
    echo.start()
    try:
        return invoke(items)
    finally:
        echo.join()


def _of(kind: type[AnyFault]) -> list[Armed]:
    return [armed for armed in _armed if isinstance(armed.fault, kind)]


def call_of(environ: routes.Environ) -> tuple[str, str]:
    """Return the service and operation of a signed AWS request; empty where they cannot be told."""
    scope = environ.get("HTTP_AUTHORIZATION", "").split(",", 1)[0].split("/")
    if len(scope) != len(("key", "day", "region", "service", "aws4_request")):
        return "", ""
    service: str = scope[3]
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return service, str(target).rpartition(".")[2]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = environ["wsgi.input"].getvalue()
        return service, parse_qs(body.decode()).get("Action", [""])[0]
    return service, _rest_operation(service, environ)


def _rest_operation(service: str, environ: routes.Environ) -> str:
    try:
        operation, _ = get_service_router(service).match(Request(environ.copy()))
    except (NotFound, NotImplementedError, KeyError):
        return ""
    return str(operation.name)


def _caller(environ: routes.Environ) -> Worker | None:
    credential = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2]
    return holder(credential.split("/", 1)[0])


class Breaker:
    """Stands before every other answer while faults on calls are armed."""

    def __init__(self) -> None:
        self._dispatch: Any = None

    def claims(self, environ: routes.Environ) -> bool:
        """Say whether a fault strikes a request, and note which."""
        armed = [each for each in _armed if isinstance(each.fault, Kill | Drop)]
        if not armed or _ONWARD in environ:
            return False
        service, operation = call_of(environ)
        worker = _caller(environ)
        environ[_STRIKES] = [
            each for each in armed if _meant(each.fault, service, operation, worker) and each.strikes()
        ]
        return bool(environ[_STRIKES])

    def __call__(self, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Execute the call or not, end its caller or not, and never answer."""
        struck = [armed.fault for armed in environ[_STRIKES]]
        if not any(isinstance(fault, Kill) and fault.when == "before" for fault in struck):
            self._execute(environ)
        worker = _caller(environ)
        if worker is not None and any(isinstance(fault, Kill) for fault in struck):
            worker.kill()
        log.info("fault: %s", [msgspec.to_builtins(fault) for fault in struck])
        raise Dropped("a fault that was asked for")

    def _execute(self, environ: routes.Environ) -> None:
        environ[_ONWARD] = True
        application = routes.claimant(environ) or self._moto
        b"".join(application(environ, lambda *_: None))

    @property
    def _moto(self) -> Any:
        self._dispatch = self._dispatch or DomainDispatcherApplication(create_backend_app)
        return self._dispatch


def _meant(fault: AnyFault, service: str, operation: str, worker: Worker | None) -> bool:
    assert isinstance(fault, Kill | Drop)
    if (fault.service, fault.operation) != (service, operation):
        return False
    return fault.function is None or (worker is not None and worker.deployment.name == fault.function)


def _control(environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "PUT":
        try:
            arm(msgspec.json.decode(environ["wsgi.input"].read(), type=list[AnyFault]))
        except msgspec.DecodeError as wrong:
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [f"not a list of faults: {wrong}; see local/faults.py\n".encode()]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [msgspec.json.encode([armed.account() for armed in _armed])]


@functools.cache
def install(cloud: Cloud) -> None:
    """Let faults be switched at `/_cloud/faults`; installed before every other claim, it stands before them."""
    del cloud
    breaker = Breaker()
    routes.claim(breaker.claims, breaker)
    routes.claim(lambda environ: environ["PATH_INFO"] == PATH, _control)
