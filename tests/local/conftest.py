"""A laptop cloud whose time passes faster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.cloud import Cloud
from local.pace import pace
from local.streams import LoggedStream
from tests.local.builders import Clock


@pytest.fixture
def hurried(cloud: Cloud) -> Iterator[Cloud]:
    """A cloud whose limits and waits pass a thousand times faster."""
    pace(cloud).speed = 1000
    yield cloud
    pace(cloud).speed = 1


@pytest.fixture
def clock(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the limits and windows of the streams that a test makes."""
    clock = Clock()
    monkeypatch.setattr(LoggedStream.ground, "ticks", clock)
    return clock
