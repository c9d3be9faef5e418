"""Take, run and stop the three kinds of SageMaker job."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ResourceInUseException, ResourceNotFound
from moto.sagemaker.responses import SageMakerResponse

from local.cloud import Cloud
from local.sagemaker.container import JobFailed
from local.sagemaker.record import JobRecord, now

Run = Callable[[Cloud, JobRecord, Path, threading.Event], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job: its name, where moto keeps such jobs, what it refuses, how one runs in its folder, and
    what its description says from the start.
    """

    name: str
    kept_in: str
    check: Callable[[dict[str, Any]], None]
    run: Run
    begin: Callable[[], dict[str, Any]] = dict


_stops: dict[str, threading.Event] = {}


def install(cloud: Cloud, kind: Kind) -> None:
    """Make the API's calls for one kind of job run real jobs."""
    snake, name = kind.name.lower(), f"{kind.name}JobName"

    def create(response: Any) -> ActionResult:
        request = json.loads(response.body)
        known = getattr(response.sagemaker_backend, kind.kept_in)
        if request[name] in known:
            raise ResourceInUseException(f"Job name must be unique: {request[name]} is already taken")
        kind.check(request)
        arn = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:{snake}-job/{request[name]}"
        record = known[request[name]] = JobRecord(kind.name, arn, request, **kind.begin())
        _stops[arn] = threading.Event()
        threading.Thread(target=_run, args=(cloud, kind, record), name=arn, daemon=True).start()
        return ActionResult({f"{kind.name}JobArn": arn})

    def stop(response: Any) -> ActionResult:
        asked = response._get_param(name)
        record = getattr(response.sagemaker_backend, kind.kept_in).get(asked)
        if record is None:
            raise ResourceNotFound(f"Could not find {snake} job '{asked}'")
        if record.status == "InProgress":
            record.become("Stopping")
            _stops[record.arn].set()
        return EmptyResult()

    setattr(SageMakerResponse, f"create_{snake}_job", create)
    setattr(SageMakerResponse, f"stop_{snake}_job", stop)


def _run(cloud: Cloud, kind: Kind, record: JobRecord) -> None:
    folder = cloud.state / "sagemaker" / kind.name.lower() / record.arn.rpartition("/")[2]
    try:
        kind.run(cloud, record, folder, _stops[record.arn])
    except JobFailed as failure:
        _fail(record, str(failure))
    except Exception as failure:  # whatever breaks must end the job, or its caller waits for ever
        logging.getLogger(__name__).exception("%s", record.arn)
        _fail(record, f"InternalServerError: {type(failure).__name__}: {failure}")


def _fail(record: JobRecord, reason: str) -> None:
    changes: dict[str, Any] = {"FailureReason": reason[:1024], f"{record.kind}EndTime": now()}
    if record.kind == "Training":
        changes["SecondaryStatus"] = "Failed"
    record.become("Failed", **changes)
