"""One laptop cloud for a process's tests, one deployed platform for those that need it whole, and who runs where."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from moto.core.config import default_user_config

from demo.day import run_day
from local import processes
from local.cloud import Cloud
from local.kafka import broker
from local.server import listen
from stacks.jobs import DAILY
from tests import platform as whole
from tests.platform import Day, Platform

# The same examples on every machine, and a slow one is no failure; `--hypothesis-profile=default` looks for new ones.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("same")

# As a laptop cloud has it; whichever test is the first of its process to ask for roles makes moto's for all.
default_user_config["iam"] = {"load_aws_managed_policies": True}

STAGES = ("platform", "sent", "removed")
"""What a test may ask of the platform: that it is there, that newcomers have sent to it, that it is gone."""


TOGETHER = {
    "platform": (),
    "spark": ("glue_jobs",),
    "stacks": ("stacks", "test_stacks", "test_iam", "test_limits"),
    "erasure": ("test_erasure",),
    "kafka": ("test_kafka",),
}
"""What shares something costly or exclusive, such as a deployed platform, a Spark session or synthesized templates, and
what takes long in one file; the rest goes file by file.

The longest come first, so that no process ends with one of them while the others have nothing left to do.
"""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of the same name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the platform's tests by stage, its removal last of all, and keep together what shares something."""
    longest = list(TOGETHER)
    items.sort(
        key=lambda item: (
            longest.index(group(item)) if group(item) in longest else len(longest),
            *(stage in fixtures(item) for stage in reversed(STAGES)),
        )
    )
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


def group(item: pytest.Item) -> str:
    """Name the tests that one process runs, one after another."""
    if "platform" in fixtures(item):
        return "platform"
    places = item.path.with_suffix("").relative_to(item.config.rootpath).parts
    return next((name for name, shared in TOGETHER.items() if set(shared) & set(places)), "-".join(places))


def fixtures(item: pytest.Item) -> Sequence[str]:
    """Name what a test asks for; doctests ask for nothing."""
    return getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One laptop cloud for all tests of a process: moto's backends, which it mends, are one to a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cloud = Cloud(port, tmp_path_factory.mktemp("cloud"))
    listener = listen(cloud)
    yield cloud
    listener.close()
    processes.end_all()


@pytest.fixture(autouse=True)
def whereabouts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name the cloud that a test asks for, whatever other tests of the process have left there."""
    if "cloud" in fixtures(request.node):
        for name, value in request.getfixturevalue("cloud").environment().items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Kafka broker for all tests of a process, by its address; each test has topics of its own."""
    running = broker.start(tmp_path_factory.mktemp("kafka"))
    yield running.bootstrap
    running.stop()


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A laptop cloud with the real app in it, deployed by the real CDK CLI."""
    with whole.deployed(tmp_path_factory.mktemp("platform") / "cloud") as found:
        yield found
        print({step: round(seconds, 1) for step, seconds in found.seconds.items()})


@pytest.fixture(scope="session")
def empty_day(platform: Platform) -> dict[str, Any]:
    """The execution of a day before there was any event."""
    with whole.timed(platform.seconds, "empty day"):
        return run_day(platform.laptop, whole.EMPTY_DAY)


@pytest.fixture(scope="session")
def day(platform: Platform, empty_day: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day whose events were sent and committed while things broke."""
    return whole.run_under_faults(platform, tmp_path_factory.mktemp("truth"))


@pytest.fixture(scope="session")
def refined(platform: Platform, day: Day) -> dict[str, Any]:
    """Every curated table as the day left it, by name."""
    return {table.full_name: platform.rows(table) for table in whole.REFINED}


@pytest.fixture(scope="session")
def again(platform: Platform, refined: dict[str, Any]) -> dict[str, Any]:
    """How the jobs that write curated tables ended, run for the same day once more under another name."""
    with whole.timed(platform.seconds, "curate and sessions again"):
        jobs = [job.name for job in DAILY if {table.database for table in job.writes} == {"curated"}]
        return {job: whole.run_job(platform.laptop, job, f"again-{whole.DAY}", whole.DAY) for job in jobs}


@pytest.fixture(scope="session")
def removed(platform: Platform, again: dict[str, Any]) -> dict[str, list[str]]:
    """What is left of the platform, kind by kind, after the CDK CLI has destroyed every stack."""
    platform.laptop.cdk("destroy", "--all", "--force", "--app", "cdk.out")
    return whole.inventory(platform.laptop)
