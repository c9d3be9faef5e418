"""Run moto's backends and our own hands as one server on the loopback."""

from __future__ import annotations

import atexit
import ctypes
import errno
import gc
import logging
import os
import resource
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from moto.core.config import default_user_config
from moto.moto_server import werkzeug_app

from local import (
    api_gateway,
    athena,
    catalogue,
    cloudformation,
    dynamodb,
    event_rules,
    event_sources,
    faults,
    function_urls,
    functions,
    glue_runs,
    glue_triggers,
    kinesis,
    kms,
    missing_calls,
    objects,
    processes,
    routes,
    sagemaker,
    step_functions,
)
from local.cloud import Cloud
from local.kafka import clusters
from local.wire import Listener

LEAST_FREE_BYTES = 1 << 30

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h

log = logging.getLogger(__name__)


class CannotStart(Exception):
    """The cloud cannot start; the message says what is wrong and what to do, in one line."""


def prepare(cloud: Cloud) -> None:
    """Set what moto reads from the environment and from its defaults, before its backends are made."""
    os.environ.update(cloud.environment())
    os.environ["MOTO_PORT"] = str(cloud.port)
    os.environ["MOTO_ACCOUNT_ID"] = cloud.account
    _allow_open_files()
    _give_memory_back()
    werkzeug_app.DISABLE_GLOBAL_CORS = True
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["iam"] = {"load_aws_managed_policies": True}


def installs() -> Sequence[Callable[[Cloud], None]]:
    """List what mends or extends moto, in the order in which it is installed."""
    return (
        faults.install,  # first: it stands before every other claim
        objects.install,
        missing_calls.install,
        kinesis.install,
        dynamodb.install,
        kms.install,
        clusters.install,
        functions.install,
        event_sources.install,
        function_urls.install,
        api_gateway.install,
        event_rules.install,
        catalogue.install,
        athena.install,
        glue_runs.install,
        glue_triggers.install,
        sagemaker.install,
        step_functions.install,
        cloudformation.install,
    )


class Front:
    """Find the moto service that a request is for, and hand the request to it."""

    def __init__(self) -> None:
        self._moto = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
        self._known: dict[str, Any] = {}

    def __call__(self, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        application = routes.claimant(environ) or (_refuse_page if "HTTP_ORIGIN" in environ else self._service(environ))
        return application(environ, start_response)

    def _service(self, environ: routes.Environ) -> routes.Application:
        name = _plain_service(environ)
        if name not in self._known:
            application = self._moto.get_application(environ)
            if not name:
                return application  # type: ignore[no-any-return]
            self._known[name] = application
        return self._known[name]  # type: ignore[no-any-return]


def _refuse_page(_: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Any page in the user's browser can send requests to the loopback; one could deploy code and run it here."""
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"the laptop cloud answers AWS clients, not web pages: this request has an Origin header\n"]


# moto needs more than the signature's service to route these, so they take its long way.
_ROUTED_BY_MORE = frozenset(
    {"dynamodb", "sagemaker", "execute-api", "mediastore", "bedrock", "ses", "bedrock-agentcore"}
)


def _plain_service(environ: routes.Environ) -> str:
    """Return the service of a signed request whose service alone decides who answers it, else nothing."""
    # AWS4-HMAC-SHA256 Credential=key/day/region/service/aws4_request
    match environ.get("HTTP_AUTHORIZATION", "").split(",", 1)[0].split("/"):
        case [_, _, _, service, _] if service not in _ROUTED_BY_MORE:
            return "" if environ["PATH_INFO"].startswith(("/moto-api", "/v20180820/", "/latest/")) else str(service)
    return ""


def serve(cloud: Cloud, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then end every child process. Raises `CannotStart`."""
    _check_disk(cloud.state)
    listener = listen(cloud)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, lambda *_: stopped.set())
    try:
        ready()
        stopped.wait()
    finally:
        listener.close()
        processes.end_all()


def listen(cloud: Cloud) -> Listener:
    """Prepare moto, install every extension and answer on the cloud's port, in the background."""
    prepare(cloud)
    try:
        listener = Listener(cloud.port, Front())
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            raise CannotStart(f"port {cloud.port} is in use: end what holds it, or pass --port") from failure
        raise
    listener.start()
    for install in installs():
        install(cloud)
    gc.freeze()  # moto's models are a large heap that never dies; walking it costs a tenth of the time
    atexit.register(gc.unfreeze)  # DuckDB complains of what is never collected
    return listener


def _check_disk(state: Path) -> None:
    free = shutil.disk_usage(_folder(state)).free
    if free < LEAST_FREE_BYTES:
        raise CannotStart(f"the disk of {state} has {free >> 20} MB free: free 1 GB, or pass --state on another disk")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _give_memory_back() -> None:
    """Let glibc return freed buffers to the system: it keeps those of up to 32 MB, and a heap for each thread."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        libc.mallopt(_M_ARENA_MAX, 2)


def _allow_open_files() -> None:
    """Each connection holds a file open, and some systems begin with 256."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
