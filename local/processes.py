"""Know every child process of the cloud, so that none outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

_running: set[subprocess.Popen[Any]] = set()
_lock = threading.Lock()

GRACE_SECONDS = 3.0


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a child in a process group of its own and remember it; options are those of `subprocess.Popen`."""
    process = subprocess.Popen(arguments, start_new_session=True, **options)
    with _lock:
        _running.difference_update([known for known in _running if known.poll() is not None])
        _running.add(process)
    return process


def end(process: subprocess.Popen[Any], grace: float = GRACE_SECONDS) -> None:
    """End a child and its own children: ask first, and insist after `grace` seconds."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    with _lock:
        _running.discard(process)


def end_all() -> None:
    """End every child that still runs."""
    with _lock:
        remaining = list(_running)
    for process in remaining:
        _signal(process, signal.SIGTERM)
    for process in remaining:
        end(process)


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # it ended between the two lines
