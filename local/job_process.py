"""Run the program of one job: with a time limit, a way to stop it, and its output copied to CloudWatch Logs."""

from __future__ import annotations

import contextlib
import enum
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from local import processes
from local.cloud import Cloud

POLL_SECONDS = 0.1
COPY_SECONDS = 1.0
# PutLogEvents takes 10,000 events or 1 MB a call, and an event of at most 256 KB (CloudWatch Logs quotas).
_MOST_EVENTS = 1000
_MOST_CHARACTERS = 100_000


class Ending(enum.Enum):
    """How a program ended."""

    SUCCEEDED = enum.auto()
    FAILED = enum.auto()
    STOPPED = enum.auto()
    TIMED_OUT = enum.auto()


@dataclass(slots=True)
class Log:
    """A file that a program writes to, and the log group and stream that it is copied to."""

    path: Path
    group: str
    stream: str
    copied: int = 0

    def copy(self, cloud: Cloud) -> None:
        """Send the lines written since the last copy to CloudWatch Logs."""
        with self.path.open("rb") as file:
            file.seek(self.copied)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self.copied += len(whole)
        put_lines(cloud, self.group, self.stream, whole.decode(errors="replace").splitlines())


@dataclass(slots=True)
class JobProcess:
    """A job's program: its command, folder, variables, two logs and a limit in seconds."""

    command: Sequence[str]
    folder: Path
    variables: Mapping[str, str]
    output: Log
    error: Log
    seconds: float
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, cloud: Cloud) -> Ending:
        """Run to the end, to the limit or to a stop."""
        with self.output.path.open("wb") as output, contextlib.ExitStack() as files:
            one = self.error.path == self.output.path
            error = subprocess.STDOUT if one else files.enter_context(self.error.path.open("wb"))
            program = processes.start(
                self.command,
                cwd=self.folder,
                env=dict(self.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=error,
            )
            ending = self._watch(program, cloud)
        self._copy(cloud)
        return ending

    def _watch(self, program: subprocess.Popen[bytes], cloud: Cloud) -> Ending:
        limit = monotonic() + self.seconds
        copied = monotonic()
        while program.poll() is None:
            if self.stopped.wait(POLL_SECONDS) or monotonic() > limit:
                processes.end(program)
                return Ending.STOPPED if self.stopped.is_set() else Ending.TIMED_OUT
            if monotonic() - copied > COPY_SECONDS:
                self._copy(cloud)
                copied = monotonic()
        return Ending.FAILED if program.returncode else Ending.SUCCEEDED

    def _copy(self, cloud: Cloud) -> None:
        self.output.copy(cloud)
        if self.error.path != self.output.path:
            self.error.copy(cloud)


def put_lines(cloud: Cloud, group: str, stream: str, lines: Sequence[str]) -> None:
    """Write lines, as of now, to a log stream, made if it is missing."""
    logs, now = cloud.client("logs"), int(time.time() * 1000)
    events = [{"timestamp": now, "message": line[:_MOST_CHARACTERS]} for line in lines if line]
    for start in range(0, len(events), _MOST_EVENTS):
        batch = events[start : start + _MOST_EVENTS]
        try:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)
        except logs.exceptions.ResourceNotFoundException:
            _make_stream(cloud, group, stream)
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=batch)


def _make_stream(cloud: Cloud, group: str, stream: str) -> None:
    logs = cloud.client("logs")
    for make, names in (
        (logs.create_log_group, {"logGroupName": group}),
        (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
    ):
        try:
            make(**names)
        except logs.exceptions.ResourceAlreadyExistsException:
            continue


_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning|Refused|Invalid\w*)\b")


def last_exception(text: str) -> str:
    """Return the last line that names a Python exception in a program's error output, else its last line.

    >>> last_exception("Traceback (most recent call last):\\n  File 'x'\\nValueError: no rows\\nWARN bye\\n")
    'ValueError: no rows'
    >>> last_exception("no such file\\n")
    'no such file'
    """
    _, found, tail = text.rpartition("Traceback (most recent call last):\n")
    lines = [line for line in tail.splitlines() if line.strip()]
    if found:
        return next((line for line in lines if not line.startswith((" ", "\t"))), "the program failed")
    named = [line for line in lines if _EXCEPTION.match(line)]
    return (named or lines or ["the program failed without a word"])[-1]
