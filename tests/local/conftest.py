"""A laptop cloud whose time passes faster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.cloud import Cloud
from local.pace import pace


@pytest.fixture
def hurried(cloud: Cloud) -> Iterator[Cloud]:
    """A cloud whose limits and waits pass a thousand times faster."""
    pace(cloud).speed = 1000
    yield cloud
    pace(cloud).speed = 1
