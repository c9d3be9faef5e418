"""Scheduled triggers start their jobs (AWS Glue Developer Guide, "Time-based schedules for jobs and crawlers")."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.glue.models import glue_backends

from local.cloud import Cloud
from local.event_rules import Clock
from local.glue_triggers import Scheduled, start
from tests.local.builders import any_name
from tests.local.jobs import make_glue_job

NIGHT = datetime(2026, 3, 1, 2, 39, 30, tzinfo=UTC)


def trigger(cloud: Cloud, job: str, **settings: Any) -> Any:
    name, given = any_name("trigger"), {"Type": "SCHEDULED", "Schedule": "cron(40 2 * * ? *)", "StartOnCreation": True}
    cloud.client("glue").create_trigger(Name=name, Actions=[{"JobName": job}], **{**given, **settings})
    return glue_backends[cloud.account][cloud.region].triggers[name]


@pytest.mark.slow
def test_a_trigger_that_is_on_is_due_once_in_its_minute(cloud: Cloud) -> None:
    on, off = trigger(cloud, "a"), trigger(cloud, "b", StartOnCreation=False)
    clock, watched = Clock(NIGHT), [Scheduled(on), Scheduled(off)]
    due = [clock.due(watched, NIGHT + timedelta(seconds=second)) for second in (10, 30, 40, 95)]

    assert due == [[], [Scheduled(on)], [], []]


@pytest.mark.slow
def test_a_trigger_that_is_due_starts_its_job_and_one_without_a_job_harms_nobody(cloud: Cloud) -> None:
    job = make_glue_job(cloud, "print('done')")

    start(cloud, trigger(cloud, any_name("nothing")))
    start(cloud, trigger(cloud, job))

    [run] = cloud.client("glue").get_job_runs(JobName=job)["JobRuns"]
    cloud.client("glue").batch_stop_job_run(JobName=job, JobRunIds=[run["Id"]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [({"Type": "EVENT", "WorkflowName": "w"}, "of type EVENT"), ({"Schedule": "cron(40 2)"}, "has 2 fields")],
)
def test_a_trigger_that_would_never_fire_is_refused(cloud: Cloud, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        trigger(cloud, "a", **settings)
