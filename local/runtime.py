"""Run a Lambda handler: this program is the inside of a worker process and sees only what AWS's runtime would have.

The cloud starts it with `python -I -S`, a connected socket and the search path; it loads the handler that `_HANDLER`
names and answers one event after another. Only the standard library is imported here.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import resource
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

REQUEST = struct.Struct("<IQ")  # bytes of the invocation's description, bytes of the event
ANSWER = struct.Struct("<BQQ")  # whether it failed, bytes of the answer, most memory used in KiB
READY = struct.Struct("<d")  # milliseconds that loading took

Handler = Callable[[Any, "Context"], Any]


class Context:
    """What AWS tells a handler about its invocation."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.aws_request_id: str = described["request_id"]
        self.invoked_function_arn: str = described["arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = None
        self.identity = None
        self._deadline: float = described["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left of the function's timeout."""
        return max(0, int((self._deadline - time.time()) * 1000))


class _Lines(logging.Formatter):
    """AWS's log line; a record of several lines stays one event, as in CloudWatch."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
    converter = staticmethod(time.gmtime)
    request_id = ""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        record.aws_request_id = self.request_id
        return super().format(record).replace("\n", "\r")


class _Objects(_Lines):
    """A JSON object a record, for functions whose LoggingConfig asks for it."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        described: dict[str, Any] = {
            "timestamp": self.formatTime(record),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": self.request_id,
        }
        if record.exc_info:
            described["stackTrace"] = traceback.format_exception(*record.exc_info)
        return json.dumps(described)


class _Failed(Exception):
    """The runtime, not the handler, has something to report: AWS's error type and message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main() -> None:
    """Load the handler, say so, then answer events until the cloud hangs up."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    before, after = json.loads(sys.argv[2])
    sys.path[:] = [*before, *sys.path, *after]
    sys.argv[:] = [""]
    lines = _log()
    began = time.monotonic()
    failure: dict[str, Any] | None = None
    handler: Handler | None = None
    try:
        handler = _load(os.environ["_HANDLER"])
    except Exception as error:  # whatever the module raises is the function's error, which the caller must see
        failure = _described(error, "")
    channel.sendall(READY.pack((time.monotonic() - began) * 1000))
    while (request := _read(channel)) is not None:
        described, event = request
        lines.request_id = described["request_id"]
        failed, answer = (True, failure) if handler is None else _handled(handler, event, Context(described))
        _write(channel, failed, answer)
        if handler is None:
            sys.exit(1)


def _load(name: str) -> Handler:
    module_name, _, function = name.rpartition(".")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise _Failed("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        raise _Failed("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}") from error
    if not hasattr(module, function):
        raise _Failed("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'")
    handler: Handler = getattr(module, function)
    return handler


def _handled(handler: Handler, event: bytes, context: Context) -> tuple[bool, Any]:
    try:
        return False, _marshalled(handler(json.loads(event), context))
    except Exception as error:  # whatever a handler raises is answered as its error
        return True, _described(error, context.aws_request_id)


def _marshalled(answer: Any) -> bytes:
    try:
        return json.dumps(answer, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise _Failed("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _described(error: Exception, request_id: str) -> dict[str, Any]:
    kind = error.kind if isinstance(error, _Failed) else type(error).__name__
    frames = [] if isinstance(error, _Failed) else traceback.extract_tb(error.__traceback__)[1:]
    stack = traceback.format_list(frames)
    print(f"[ERROR] {kind}: {error}\nTraceback (most recent call last):\n{''.join(stack)}".rstrip().replace("\n", "\r"))
    return {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": stack}


def _log() -> _Lines:
    as_objects = os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"
    lines = _Objects() if as_objects else _Lines("[%(levelname)s]\t%(asctime)s\t%(aws_request_id)s\t%(message)s")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(lines)
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "WARNING").replace("TRACE", "DEBUG"))
    return lines


def _read(channel: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    head = _exactly(channel, REQUEST.size)
    if not head:
        return None
    described, event = REQUEST.unpack(head)
    return json.loads(_exactly(channel, described)), bytes(_exactly(channel, event))


def _exactly(channel: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view, filled = memoryview(content), 0
    while filled < size:
        got = channel.recv_into(view[filled:])
        if not got:
            return bytearray()
        filled += got
    return content


def _write(channel: socket.socket, failed: bool, answer: Any) -> None:
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    sys.stdout.flush()
    sys.stderr.flush()
    channel.sendall(ANSWER.pack(failed, len(content), _most_memory_kib()))
    channel.sendall(content)


def _most_memory_kib() -> int:
    try:
        with Path("/proc/self/status").open() as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # no /proc: the figure of getrusage, which counts the parent before the fork too
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most


if __name__ == "__main__":
    main()
