"""Keep warm processes that run Lambda handlers, with AWS's environment, timeout and memory limit."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from local import packages, processes, runtime
from local.cloud import Cloud

# AWS Lambda Developer Guide, "Lambda execution environment": an init phase that does not end within 10 s is begun again
# at the invocation, within the function's timeout.
INIT_SECONDS = 10.0
MOST_IDLE = 16
_LOOK_SECONDS = 0.25
_END_SECONDS = 10.0  # a process that hung up is about to end
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_PROGRAM = Path(runtime.__file__)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a worker is started from; another deployment of the same function means other workers."""

    name: str
    version: str
    arn: str
    handler: str
    runtime: str
    memory_mb: int
    timeout_seconds: int
    environment: tuple[tuple[str, str], ...]
    code: Path
    layers: Path | None
    log_group: str
    log_format: str
    log_level: str


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run of a handler: the answer or AWS's error object, and what the log gets."""

    request_id: str
    payload: bytes
    failed: bool
    version: str
    lines: tuple[str, ...]
    log_stream: str
    milliseconds: float


class Throttled(Exception):
    """The function runs as many times at once as its reserved concurrency allows."""


class _Stopped(Exception):
    """The worker gave no answer; the message is AWS's `errorMessage`, `kind` its `errorType`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


_by_access_key: dict[str, Worker] = {}


def holder(access_key: str) -> Worker | None:
    """Return the worker whose calls are signed with an access key."""
    return _by_access_key.get(access_key)


class Worker:
    """One process with a loaded handler; answers one event at a time."""

    def __init__(self, cloud: Cloud, deployment: Deployment) -> None:
        self.deployment = deployment
        self.access_key = "ASIA" + secrets.token_hex(8).upper()
        self.log_stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{deployment.version}]{secrets.token_hex(16)}"
        self._folder = cloud.state / "lambda" / "workers" / self.access_key
        (self._folder / "tmp").mkdir(parents=True)
        self._log = self._folder / "log"
        self._read_to = 0
        self._answered = False
        self._init_milliseconds: float | None = None
        self._channel, theirs = socket.socketpair()
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.process = self._start(cloud, theirs)
        theirs.close()
        _by_access_key[self.access_key] = self

    def run(self, payload: bytes, request_id: str) -> Run:
        """Run the handler on one event (JSON bytes); whatever happens to the process, the answer says so."""
        began = monotonic()
        try:
            if self._init_milliseconds is None:
                self._init_milliseconds = runtime.READY.unpack(
                    self._receive(runtime.READY.size, self._most_init_seconds)
                )[0]
                began = monotonic()
            failed, answer, memory = self._exchange(payload, request_id)
        except _Stopped as stopped:
            self.kill()
            described = {"errorType": stopped.kind, "errorMessage": f"RequestId: {request_id} Error: {stopped}"}
            failed, answer, memory = True, json.dumps(described).encode(), self.deployment.memory_mb
        milliseconds = (monotonic() - began) * 1000
        lines = self._lines(request_id, milliseconds, memory, failed and not self.is_alive, answer)
        self._answered = True
        return Run(request_id, answer, failed, self.deployment.version, lines, self.log_stream, milliseconds)

    @property
    def _most_init_seconds(self) -> float:
        return INIT_SECONDS + self.deployment.timeout_seconds

    @property
    def is_alive(self) -> bool:
        """It can take another event."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def discard(self) -> None:
        """End the process and remove its files."""
        self.kill()
        processes.end(self.process)
        self._channel.close()
        _by_access_key.pop(self.access_key, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, cloud: Cloud, theirs: socket.socket) -> subprocess.Popen[bytes]:
        deployment = self.deployment
        interpreter = [sys.executable, "-I", "-S", "-u", "-X", "utf8", str(_PROGRAM)]
        with self._log.open("wb") as log:
            return processes.start(
                [*interpreter, str(theirs.fileno()), json.dumps(_search_path(cloud, deployment))],
                env=self._environment(cloud),
                cwd=deployment.code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )

    def _environment(self, cloud: Cloud) -> dict[str, str]:
        # AWS Lambda Developer Guide, "Defined runtime environment variables".
        deployment = self.deployment
        opt = str(deployment.layers or "/opt")
        return {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            **dict(deployment.environment),
            "_HANDLER": deployment.handler,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.access_key,
            "AWS_SESSION_TOKEN": self.access_key,
            "AWS_DEFAULT_REGION": cloud.region,
            "AWS_REGION": cloud.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{deployment.runtime}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(deployment.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": deployment.name,
            "AWS_LAMBDA_FUNCTION_VERSION": deployment.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": deployment.log_format,
            "AWS_LAMBDA_LOG_GROUP_NAME": deployment.log_group,
            "AWS_LAMBDA_LOG_LEVEL": deployment.log_level,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "HOME": str(self._folder),  # else boto3 would read the developer's own ~/.aws
            "LANG": "en_US.UTF-8",
            "LAMBDA_RUNTIME_DIR": str(_PROGRAM.parent),
            "LAMBDA_TASK_ROOT": str(deployment.code),
            "LD_LIBRARY_PATH": f"{opt}/lib",
            "PATH": f"/usr/local/bin:/usr/bin:/bin:{opt}/bin",
            "TMPDIR": str(self._folder / "tmp"),
            "TZ": ":UTC",
        }

    def _exchange(self, payload: bytes, request_id: str) -> tuple[bool, bytes, int]:
        seconds = self.deployment.timeout_seconds
        described = {"request_id": request_id, "arn": self.deployment.arn, "deadline": time.time() + seconds}
        head = json.dumps(described).encode()
        deadline = monotonic() + seconds
        self._send(runtime.REQUEST.pack(len(head), len(payload)) + head, seconds)
        self._send(payload, seconds)
        failed, size, most_kib = runtime.ANSWER.unpack(self._receive(runtime.ANSWER.size, deadline - monotonic()))
        answer = self._receive(size, deadline - monotonic())
        return bool(failed), bytes(answer), math.ceil(most_kib / 1024)

    def _send(self, content: bytes, seconds: float) -> None:
        self._channel.settimeout(seconds)
        try:
            self._channel.sendall(content)
        except TimeoutError:
            raise self._timed_out() from None
        except OSError:
            raise self._ended() from None

    def _receive(self, size: int, seconds: float) -> bytearray:
        content = bytearray(size)
        view, filled, deadline = memoryview(content), 0, monotonic() + seconds
        while filled < size:
            remaining = deadline - monotonic()
            if remaining <= 0:
                raise self._timed_out()
            self._check_memory()
            self._channel.settimeout(min(remaining, _LOOK_SECONDS))
            try:
                got = self._channel.recv_into(view[filled:])
            except TimeoutError:
                continue
            except OSError:
                got = 0
            if not got:
                raise self._ended()
            filled += got
        return content

    def _timed_out(self) -> _Stopped:
        if self._init_milliseconds is None:
            return _Stopped("Sandbox.Timedout", f"Init did not end within {self._most_init_seconds:.0f} seconds")
        return _Stopped("Sandbox.Timedout", f"Task timed out after {self.deployment.timeout_seconds:.2f} seconds")

    def _ended(self) -> _Stopped:
        try:
            code = self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return _Stopped("Runtime.ExitError", "Runtime closed its connection")
        if code == 0:
            return _Stopped("Runtime.ExitError", "Runtime exited without providing a reason")
        reason = f"signal: {_signal_name(-code)}" if code < 0 else f"exit status {code}"
        return _Stopped("Runtime.ExitError", f"Runtime exited with error: {reason}")

    def _check_memory(self) -> None:
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return  # no /proc on this system, or the process just ended
        if pages * _PAGE_KIB > self.deployment.memory_mb * 1024:
            raise _Stopped("Runtime.OutOfMemory", "Runtime exited with error: signal: killed")

    def _lines(self, request_id: str, milliseconds: float, memory: int, died: bool, answer: bytes) -> tuple[str, ...]:
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            written = log.read()
        self._read_to += len(written)
        init = (
            ""
            if self._answered or self._init_milliseconds is None
            else f"Init Duration: {self._init_milliseconds:.2f} ms\t"
        )
        ending = [str(json.loads(answer)["errorMessage"])] if died else []
        return (
            f"START RequestId: {request_id} Version: {self.deployment.version}",
            *(line.replace("\r", "\n") for line in written.decode(errors="replace").split("\n") if line.strip()),
            *ending,
            f"END RequestId: {request_id}",
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms"
            f"\tBilled Duration: {math.ceil(milliseconds)} ms"
            f"\tMemory Size: {self.deployment.memory_mb} MB\tMax Memory Used: {memory} MB\t{init}",
        )


class Pool:
    """The workers of one function version; as many run at once as are asked for, within its reserved concurrency."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._idle: deque[Worker] = deque()
        self._running = 0
        self._changed = threading.Condition()

    def run(self, deployment: Deployment, payload: bytes, request_id: str, reserved: int | None, wait: bool) -> Run:
        """Run the handler in a warm worker, or a new one. Raises `Throttled` at the limit, unless told to wait."""
        with self._slot(reserved, wait):
            worker = self._taken(deployment)
            try:
                return worker.run(payload, request_id)
            finally:
                self._put_back(worker)

    def retire(self) -> None:
        """End the workers that wait; those at work end when they are done."""
        with self._changed:
            idle, self._idle = list(self._idle), deque()
        for worker in idle:
            worker.discard()

    @contextlib.contextmanager
    def _slot(self, reserved: int | None, wait: bool) -> Iterator[None]:
        with self._changed:
            while reserved is not None and self._running >= reserved:
                if not wait:
                    raise Throttled
                self._changed.wait(1.0)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _taken(self, deployment: Deployment) -> Worker:
        stale = []
        try:
            with self._changed:
                while self._idle:
                    worker = self._idle.pop()
                    if worker.deployment == deployment and worker.is_alive:
                        return worker
                    stale.append(worker)
        finally:
            for worker in stale:
                worker.discard()
        return Worker(self._cloud, deployment)

    def _put_back(self, worker: Worker) -> None:
        with self._changed:
            keep = worker.is_alive and len(self._idle) < MOST_IDLE
            if keep:
                self._idle.append(worker)
        if not keep:
            worker.discard()


def _search_path(cloud: Cloud, deployment: Deployment) -> tuple[list[str], list[str]]:
    """List where imports look before and after the standard library: the function, its layers; the runtime's own."""
    layers = [str(deployment.layers / "python")] if deployment.layers else []
    return [str(deployment.code), *layers], [str(packages.runtime(cloud.state / "lambda"))]


def _signal_name(number: int) -> str:
    return "killed" if number == signal.SIGKILL else str(number)
