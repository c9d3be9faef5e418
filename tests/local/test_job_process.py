"""A job's program: its end, its limit, its stop and its logs."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import job_process
from local.cloud import Cloud
from local.job_process import Ending, JobProcess, Log, last_exception
from tests.local.builders import Clock, any_name, until
from tests.local.jobs import lines

FOREVER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def any_program(folder: Path, code: str, seconds: float = 600) -> JobProcess:
    name = any_name("stream")
    log = Log(folder / "output.log", "/tests/programs", name)
    return JobProcess([sys.executable, "-c", code], folder, dict(os.environ), log, log, seconds)


def has_begun(process: JobProcess) -> bool:
    return process.output.path.exists() and process.output.path.read_text().endswith("\n")


def is_running(process: JobProcess) -> bool:
    return Path("/proc", process.output.path.read_text().split()[0], "cmdline").exists()


def test_a_program_that_ends_well_has_succeeded_and_its_lines_are_in_the_log(cloud: Cloud, tmp_path: Path) -> None:
    process = any_program(tmp_path, "print('one'); print('two')")

    assert process.run(cloud) is Ending.SUCCEEDED
    assert lines(cloud, "/tests/programs", process.output.stream) == ["one", "two"]


def test_a_program_that_ends_with_another_status_has_failed(cloud: Cloud, tmp_path: Path) -> None:
    process = any_program(tmp_path, "raise SystemExit(3)")

    assert process.run(cloud) is Ending.FAILED


def test_a_program_past_its_limit_is_ended(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, process = Clock(), any_program(tmp_path, FOREVER, seconds=50)
    monkeypatch.setattr(job_process, "monotonic", clock)
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(process.run, cloud)
        until(lambda: has_begun(process))
        clock.seconds += 49
        time.sleep(0.3)
        assert is_running(process)
        clock.seconds += 2

    assert ending.result() is Ending.TIMED_OUT
    assert not is_running(process)


def test_a_program_that_is_stopped_is_ended(cloud: Cloud, tmp_path: Path) -> None:
    process = any_program(tmp_path, FOREVER)
    with ThreadPoolExecutor(1) as threads:
        ending = threads.submit(process.run, cloud)
        until(lambda: has_begun(process))
        process.stopped.set()

    assert ending.result() is Ending.STOPPED
    assert not is_running(process)


def test_lines_reach_the_log_while_the_program_runs(cloud: Cloud, tmp_path: Path) -> None:
    process = any_program(tmp_path, "print('begun', flush=True); import time; time.sleep(600)")
    running = threading.Thread(target=process.run, args=(cloud,))
    running.start()
    logs = cloud.client("logs")

    def copied() -> bool:
        if not logs.describe_log_groups(logGroupNamePrefix="/tests/programs")["logGroups"]:
            return False
        found = logs.describe_log_streams(logGroupName="/tests/programs")["logStreams"]
        return any(stream["logStreamName"] == process.output.stream for stream in found)

    until(copied)
    assert running.is_alive()
    process.stopped.set()
    running.join()


def test_the_last_exception_of_a_chain_is_the_one_that_ended_the_program() -> None:
    text = (
        "Traceback (most recent call last):\n  File 'a', line 1\nKeyError: 'x'\n\nDuring handling of the above "
        "exception, another exception occurred:\n\nTraceback (most recent call last):\n  File 'b', line 2\n"
        "    raise LookupError\nLookupError: no x\n26/11/22 00:00:00 ERROR SparkSubmit: exited with 1\n"
    )

    assert last_exception(text) == "LookupError: no x"
