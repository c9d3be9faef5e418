from __future__ import annotations

from collections.abc import Iterator

import pytest
import sklearn.ensemble  # its OpenMP must be loaded before it can be limited
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Fit on one thread, as the jobs do: on shared cores, threads of a small fit wait for one another."""
    assert sklearn.ensemble
    with threadpool_limits(1):
        yield
