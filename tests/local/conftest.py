"""Start one laptop cloud for all tests of a session: moto's backends are one to a process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import processes
from local.cloud import Cloud
from local.pace import pace
from local.server import listen


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cloud = Cloud(port, Path(tmp_path_factory.mktemp("cloud")))
    listener = listen(cloud)
    yield cloud
    listener.close()
    processes.end_all()


@pytest.fixture
def hurried(cloud: Cloud) -> Iterator[Cloud]:
    """A cloud whose limits and waits pass a thousand times faster."""
    pace(cloud).speed = 1000
    yield cloud
    pace(cloud).speed = 1
