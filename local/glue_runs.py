"""Run Glue's PySpark jobs as spark-submit on this machine."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moto.core.responses import ActionResult
from moto.glue import models
from moto.glue.exceptions import ConcurrentRunsExceededException, InvalidInputException
from moto.glue.responses import GlueResponse

from local import spark
from local.cloud import Cloud
from local.installed import missing
from local.job_process import Ending, JobProcess, Log, last_exception, put_lines

LOG_GROUP = "/aws-glue/jobs"
DEFAULT_TIMEOUT_MINUTES = 480  # Glue 5.0 and later
MINUTE_SECONDS = 60.0
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")
_UNDERWAY = frozenset({"STARTING", "RUNNING", "STOPPING"})

# Special parameters of Glue's that change nothing here, each with the reason.
WITHOUT_EFFECT = {
    "--enable-metrics": "there is no fleet of executors to profile",
    "--enable-observability-metrics": "there is no fleet of executors to profile",
    "--enable-continuous-cloudwatch-log": "logs are always copied while the job runs",
    "--enable-continuous-log-filter": "logs are always copied whole",
    "--continuous-log-logGroup": "logs go to /aws-glue/jobs",
    "--continuous-log-logStreamPrefix": "a stream is named after its run",
    "--enable-auto-scaling": "one machine does not scale",
    "--enable-job-insights": "the failure's own message is kept",
    "--enable-spark-ui": "the UI is off, to start sooner",
    "--spark-event-logs-path": "the UI is off, to start sooner",
    "--enable-glue-datacatalog": "Iceberg catalogues are named by --conf",
    "--enable-s3-parquet-optimized-committer": "Iceberg commits its own files",
    "--job-language": "python is the only one",
    "--python-modules-installer-option": "modules are checked, not installed",
    "--datalake-formats": "Iceberg is always there",
}
_READ_HERE = frozenset({"--conf", "--extra-py-files", "--extra-files", "--extra-jars", "--additional-python-modules"})


class Refused(Exception):
    """A job asks for something that Glue on a laptop does not do; the message names it."""


@dataclass(slots=True)
class JobRun:
    """One run of a Glue job, as GetJobRun describes it."""

    job: Any
    arguments: dict[str, str]
    timeout_minutes: float
    given: dict[str, Any]
    previous_run_id: str | None = None
    job_run_id: str = field(default_factory=lambda: f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}")
    status: str = "STARTING"
    error: str | None = None
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    modified: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    completed: datetime | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def advance(self) -> None:
        """Do nothing: moto moves a run at each look, here a run moves by itself."""

    def become(self, status: str, error: str | None = None) -> None:
        """Move to another state."""
        self.modified = datetime.now(timezone.utc)
        self.completed = None if status in _UNDERWAY else self.modified
        self.error, self.status = error, status

    def as_dict(self) -> dict[str, Any]:
        """Return what GetJobRun answers."""
        seconds = ((self.completed or datetime.now(timezone.utc)) - self.started).total_seconds()
        described = {
            "Id": self.job_run_id,
            "Attempt": 0,
            "PreviousRunId": self.previous_run_id,
            "JobName": self.job.name,
            "JobMode": "SCRIPT",
            "StartedOn": self.started,
            "LastModifiedOn": self.modified,
            "CompletedOn": self.completed,
            "JobRunState": self.status,
            "Arguments": self.arguments,
            "ErrorMessage": self.error,
            "PredecessorRuns": [],
            "ExecutionTime": round(seconds),
            "Timeout": self.timeout_minutes,
            "LogGroupName": LOG_GROUP,
            "GlueVersion": self.job.glue_version,
            "ExecutionClass": self.job.execution_class,
            **self.given,
        }
        return {name: value for name, value in described.items() if value is not None}


def install(cloud: Cloud) -> None:
    """Make StartJobRun run the job's script, and let BatchStopJobRun end it."""

    def start_job_run(job: Any, **given: Any) -> str:
        run = _asked(job, given)
        _admit(run)
        threading.Thread(target=_run, args=(cloud, run), name=f"glue {job.name}", daemon=True).start()
        return run.job_run_id

    models.FakeJob.start_job_run = start_job_run
    models.FakeJob.get_job_runs = lambda job: list(reversed(job.job_runs))  # AWS lists the newest first
    GlueResponse.batch_stop_job_run = _batch_stop_job_run


_PASSED_ON = {
    "allocated_capacity": "AllocatedCapacity",
    "max_capacity": "MaxCapacity",
    "worker_type": "WorkerType",
    "number_of_workers": "NumberOfWorkers",
    "notification_property": "NotificationProperty",
    "security_configuration": "SecurityConfiguration",
}


def _asked(job: Any, given: dict[str, Any]) -> JobRun:
    """Return a run of `job` with what the caller gave, and the job's own settings for the rest."""
    own = job.as_dict()
    return JobRun(
        job,
        {**job.default_arguments, **(given["arguments"] or {}), **(job.non_overridable_arguments or {})},
        given["timeout"] or job.timeout or DEFAULT_TIMEOUT_MINUTES,
        {name: given[keyword] or own[name] for keyword, name in _PASSED_ON.items()},
        given["previous_run_id"],
    )


_admission = threading.Lock()


def _admit(run: JobRun) -> None:
    """Take the run among the job's, if there is room for it and nothing in it is beyond us."""
    try:
        _command_of(run.job)
        _known(run.arguments)
        if run.job.max_retries:
            raise Refused(f"MaxRetries {run.job.max_retries}: the laptop cloud tries once; retry in the state machine")
    except Refused as refused:
        raise InvalidInputException("StartJobRun", str(refused)) from refused
    most = (run.job.execution_property or {}).get("MaxConcurrentRuns", 1)
    with _admission:
        if sum(other.status in _UNDERWAY for other in run.job.job_runs) >= most:
            raise ConcurrentRunsExceededException(f"Concurrent runs exceeded for {run.job.name}")
        run.job.job_runs.append(run)


def _batch_stop_job_run(response: Any) -> ActionResult:
    name = response._get_param("JobName")
    done, errors = [], []
    for run_id in response._get_param("JobRunIds"):
        run = response.glue_backend.get_job_run(name, run_id)
        if run.status in _UNDERWAY:
            run.become("STOPPING")
            run.stopped.set()
            done.append({"JobName": name, "JobRunId": run_id})
        else:
            detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": f"the run is {run.status}"}
            errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": detail})
    return ActionResult({"SuccessfulSubmissions": done, "Errors": errors})


_ENDED = {
    Ending.SUCCEEDED: "SUCCEEDED",
    Ending.STOPPED: "STOPPED",
    Ending.TIMED_OUT: "TIMEOUT",
    Ending.FAILED: "FAILED",
}


def _run(cloud: Cloud, run: JobRun) -> None:
    folder = cloud.state / "glue" / run.job.name / run.job_run_id
    try:
        ending, error = _execute(cloud, run, folder)
        run.become(_ENDED[ending], error)
    except (Refused, spark.MissingEngine) as failure:
        run.become("FAILED", str(failure))
    except (
        Exception
    ) as failure:  # whatever breaks before the script runs must end the run, or its caller waits for ever
        logging.getLogger(__name__).exception("run %s of %s", run.job_run_id, run.job.name)
        run.become("FAILED", f"{type(failure).__name__}: {failure}")


def _execute(cloud: Cloud, run: JobRun, folder: Path) -> tuple[Ending, str | None]:
    work, temporary = folder / "work", folder / "tmp"
    for made in (work, temporary):
        made.mkdir(parents=True, exist_ok=True)
    command = _submission(cloud, run, work, temporary)
    process = JobProcess(
        command,
        work,
        _variables(cloud),
        Log(folder / "output.log", f"{LOG_GROUP}/output", run.job_run_id),
        Log(folder / "error.log", f"{LOG_GROUP}/error", run.job_run_id),
        run.timeout_minutes * MINUTE_SECONDS,
        run.stopped,
    )
    if not run.stopped.is_set():
        run.become("RUNNING")
    ending = process.run(cloud)
    shutil.rmtree(temporary, ignore_errors=True)
    return ending, _failure(process) if ending is Ending.FAILED else None


def _failure(process: JobProcess) -> str:
    """Return the script's last exception; spark-submit sends what Python writes to both streams to its output."""
    logs = (process.error.path, process.output.path)
    return last_exception("".join(log.read_text(errors="replace") for log in logs))


def _submission(cloud: Cloud, run: JobRun, work: Path, temporary: Path) -> list[str]:
    arguments = run.arguments
    lacking = missing(arguments.get("--additional-python-modules", "").split(","))
    if lacking:
        raise Refused(f"--additional-python-modules {lacking}")
    settings = {"spark.app.name": run.job.name, "spark.local.dir": str(temporary)}
    settings |= parse_settings(arguments.get("--conf", ""))
    note = [f"{name} has no effect here: {WITHOUT_EFFECT[name]}" for name in arguments if name in WITHOUT_EFFECT]
    put_lines(cloud, f"{LOG_GROUP}/error", run.job_run_id, note)
    _bring_all(cloud, arguments.get("--extra-files", ""), work)
    return spark.submit(
        _bring(cloud, _command_of(run.job)["ScriptLocation"], work),
        script_arguments(run.job.name, run.job_run_id, arguments),
        settings,
        _bring_all(cloud, arguments.get("--extra-py-files", ""), work),
        _bring_all(cloud, arguments.get("--extra-jars", ""), work),
    )


def script_arguments(name: str, run_id: str, arguments: Mapping[str, str]) -> list[str]:
    """Return what the script finds in sys.argv: the job's name and run, and every argument that Glue does not take.

    >>> script_arguments("curate", "jr_1", {"--day": "2026-03-01", "--conf": "a=b"})
    ['--JOB_NAME', 'curate', '--JOB_RUN_ID', 'jr_1', '--day', '2026-03-01']
    """
    passed = {name: value for name, value in arguments.items() if name not in WITHOUT_EFFECT.keys() | _READ_HERE}
    return [word for pair in {"--JOB_NAME": name, "--JOB_RUN_ID": run_id, **passed}.items() for word in pair]


def parse_settings(conf: str) -> dict[str, str]:
    """Read Glue's --conf, in which further settings are chained as text.

    >>> parse_settings("spark.a=1 --conf spark.b=x=y")
    {'spark.a': '1', 'spark.b': 'x=y'}
    """
    parts = [part.strip() for part in re.split(r"(?:^|\s)--conf\s+", conf) if part.strip()]
    return dict((name, value) for name, _, value in (part.partition("=") for part in parts))


def _known(arguments: Mapping[str, str]) -> None:
    if arguments.get("--job-bookmark-option", "job-bookmark-disable") != "job-bookmark-disable":
        raise Refused(
            "--job-bookmark-option: the laptop cloud keeps no bookmarks; read from a table's snapshots instead"
        )
    if arguments.get("--datalake-formats", "iceberg") != "iceberg":
        raise Refused(f"--datalake-formats {arguments['--datalake-formats']}: the laptop cloud has iceberg alone")
    if arguments.get("--job-language", "python") != "python":
        raise Refused(f"--job-language {arguments['--job-language']}: the laptop cloud runs python alone")


def _command_of(job: Any) -> dict[str, Any]:
    command: dict[str, Any] = job.command
    if command.get("Name") != "glueetl":
        raise Refused(f"Command.Name {command.get('Name')}: the laptop cloud runs glueetl jobs alone")
    return command


def _bring_all(cloud: Cloud, uris: str, folder: Path) -> list[Path]:
    return [_bring(cloud, uri.strip(), folder) for uri in uris.split(",") if uri.strip()]


def _bring(cloud: Cloud, uri: str, folder: Path) -> Path:
    place = urlsplit(uri)
    target = folder / Path(place.path).name
    cloud.client("s3").download_file(place.netloc, place.path.lstrip("/"), str(target))
    return target


def _variables(cloud: Cloud) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, **spark.environment(), **cloud.environment()}
