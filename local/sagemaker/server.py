"""Start, ask and end the process that serves one model."""

from __future__ import annotations

import contextlib
import http.client
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.sagemaker.exceptions import ValidationError

from local import processes
from local.cloud import Cloud
from local.installed import missing
from local.job_process import Log
from local.sagemaker import container
from local.sagemaker.container import JobFailed

POLL_SECONDS = 0.05
DYING_SECONDS = 10.0
HEALTH_SECONDS = 60.0
INVOKE_SECONDS = 60.0  # InvokeEndpoint waits no longer for a container
_READY = re.compile(rb"^serving on (\d+)$", re.MULTILINE)
_PROGRAM = Path(__file__).with_name("serving.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a container answered."""

    status: int
    body: bytes
    content_type: str


class TimedOut(Exception):
    """The container did not answer in time."""


@dataclass(slots=True)
class Server:
    """A process that serves one model, and the connections to it that stand open."""

    process: subprocess.Popen[bytes]
    log: Log
    port: int = 0
    idle: queue.LifoQueue[http.client.HTTPConnection] = field(default_factory=queue.LifoQueue)

    def healthy(self, seconds: float) -> bool:
        """Wait until /ping answers 200; False if the process ends or the time is over."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < limit:
            found = _READY.search(self.log.path.read_bytes())
            if found:
                self.port = int(found[1])
                return self._ask("GET", "/ping", b"", {}).status == http.client.OK
            time.sleep(POLL_SECONDS)
        return False

    def invoke(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Pass a request to the container. Raises `TimedOut`, or OSError if the process is gone."""
        return self._ask("POST", "/invocations", body, headers)

    def end(self) -> None:
        """End the process."""
        processes.end(self.process)

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = self._connection()
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), response.headers.get("Content-Type", ""))
        except TimeoutError as failure:
            connection.close()
            raise TimedOut from failure
        except (OSError, http.client.HTTPException) as failure:
            connection.close()
            raise ConnectionError(str(failure)) from failure
        self.idle.put(connection)
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        try:
            return self.idle.get_nowait()
        except queue.Empty:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=INVOKE_SECONDS)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def start(cloud: Cloud, given: Mapping[str, Any], folder: Path, group: str, stream: str) -> Server:
    """Start a process for a container definition (Image, ModelDataUrl, Environment). Raises `JobFailed`."""
    root = folder / "ml"
    (root / "model").mkdir(parents=True, exist_ok=True)
    if not given.get("ModelDataUrl"):
        raise JobFailed("ClientError: the container has no ModelDataUrl")
    container.unpack(cloud, given["ModelDataUrl"], root / "model")
    variables = _variables(cloud, given.get("Environment") or {}, root)
    log = Log(folder / "output.log", group, stream)
    with log.path.open("wb") as output:
        process = processes.start(
            [sys.executable, str(_PROGRAM)],
            cwd=root,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Server(process, log)


def _variables(cloud: Cloud, given: Mapping[str, str], root: Path) -> dict[str, str]:
    variables = container.variables(cloud, given, root)
    submitted = given.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    code = root / "model" / "code"
    if submitted.startswith("s3://"):
        container.unpack(cloud, submitted, code)
    elif submitted.startswith("/"):
        code = container.place(submitted, root)
    program = given.get("SAGEMAKER_PROGRAM")
    if not program or not (code / program).is_file():
        raise JobFailed(f"ClientError: SAGEMAKER_PROGRAM {program} is not in the model's code/")
    requirements = code / "requirements.txt"
    lacking = missing(requirements.read_text().splitlines()) if requirements.is_file() else None
    if lacking:
        raise JobFailed(f"ClientError: requirements.txt {lacking}")
    return {**variables, "SAGEMAKER_SUBMIT_DIRECTORY": str(code), "SM_MODEL_DIR": str(root / "model")}


def container_of(backend: Any, model_name: str) -> dict[str, Any]:
    """Return the container of a model, with what its model package says where the model is silent."""
    model = backend.describe_model(model_name)
    given = [model.primary_container] if model.primary_container else list(model.containers)
    if len(given) != 1:
        raise JobFailed(f"ClientError: model {model_name} has {len(given)} containers: the laptop cloud serves one")
    named = given[0].get("ModelPackageName")
    package = backend.describe_model_package(named).inference_specification["Containers"][0] if named else {}
    merged = {**package, **given[0]}
    merged["Environment"] = {**(package.get("Environment") or {}), **(given[0].get("Environment") or {})}
    try:
        container.check_image("Image", merged.get("Image"))
    except ValidationError as refused:
        raise JobFailed(f"ClientError: {refused.message}") from refused
    return merged


@dataclass(slots=True)
class Renewed:
    """A server that is started again when its process dies, as SageMaker restarts a container."""

    cloud: Cloud
    given: Mapping[str, Any]
    folder: Path
    group: str
    stream: str
    server: Server | None = None
    starts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    copying: threading.Lock = field(default_factory=threading.Lock)

    def start(self, seconds: float) -> bool:
        """Start the process and wait for its health."""
        self.starts += 1
        self.server = start(self.cloud, self.given, self.folder / str(self.starts), self.group, self.stream)
        healthy = self.server.healthy(seconds)
        self.copy_log()
        return healthy

    def invoke(self, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        """Ask the process, started again first if it has died. Raises `TimedOut` or ConnectionError."""
        assert self.server is not None
        if self.server.process.poll() is not None:
            with self.lock:
                if self.server.process.poll() is not None and not self.start(seconds):
                    raise ConnectionError("the container does not start again")
        try:
            return self.server.invoke(body, headers)
        except ConnectionError:
            # A process that dies closes its connections first: see it dead, so that the next request starts it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.process.wait(DYING_SECONDS)
            raise

    def copy_log(self) -> None:
        """Send what the process printed since the last time to CloudWatch Logs."""
        with self.copying:
            if self.server is not None:
                self.server.log.copy(self.cloud)

    def end(self) -> None:
        """End the process, and send the rest of its log."""
        if self.server is not None:
            self.server.end()
            self.copy_log()
