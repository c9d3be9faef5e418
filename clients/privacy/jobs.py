"""Start a Glue job and wait for its end."""

from __future__ import annotations

import time
from collections.abc import Mapping

import boto3

PAUSE = 0.5  # seconds between two questions whether the job is done
GOING = ("STARTING", "RUNNING", "STOPPING", "WAITING")


class CannotBePublished(RuntimeError):
    """The platform refused what was to be published or failed at it; the message says what and how to mend it."""


def have_run(job: str, given: Mapping[str, str]) -> None:
    """Have a job run with arguments, and wait for its end; raise CannotBePublished for any but a good one."""
    glue = boto3.client("glue")
    try:
        started = glue.start_job_run(JobName=job, Arguments=dict(given))["JobRunId"]
    except glue.exceptions.EntityNotFoundException:
        raise CannotBePublished(f"there is no job {job}: deploy the stack Rivermill-Process") from None
    except glue.exceptions.ConcurrentRunsExceededException:
        raise CannotBePublished(f"{job} is at work for somebody else: wait for its end") from None
    while (found := glue.get_job_run(JobName=job, RunId=started)["JobRun"])["JobRunState"] in GOING:
        time.sleep(PAUSE)
    if found["JobRunState"] != "SUCCEEDED":
        raise CannotBePublished(f"{job} {found['JobRunState'].lower()}: {found.get('ErrorMessage')}")
