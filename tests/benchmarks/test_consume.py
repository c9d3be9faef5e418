"""What benchmarks measure is what the platform does: every way takes every event."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import random
from benchmarks import consume
from benchmarks.wide import any_interactions

events = any_interactions(120, random.Random(3))
handed = consume.handed(consume.as_json(events))
assert consume.ours(handed) == consume.tutorial(handed) == 120
assert consume.ours(consume.handed(consume.as_lines(events))) == 120
assert consume.ours(consume.handed(consume.as_columns(events))) == 120
assert consume.ours(consume.handed(consume.poisoned(consume.as_json(events), 20))) == 114
records = consume.handed([consume.aggregate(consume.as_json(events))])
assert consume.deaggregated(records) == 120
[wide] = consume.sort(consume.arrived(handed), "shard-0").parts
[columnar] = consume.sort(consume.arrived(consume.handed(consume.as_columns(events))), "shard-0").parts
kept = [name for name in wide.rows.column_names if name not in ("arrived_at", "sequence")]
assert wide.rows.select(kept).to_pylist() == columnar.rows.select(kept).to_pylist()
try:
    from benchmarks import peers
except ImportError:
    pass  # requirements-bench.txt is not installed
else:
    assert consume.powertools("interaction")(handed) == 120
    assert peers.deaggregate_way(records) == 120
"""


@pytest.mark.slow
def test_each_way_takes_every_event_and_lines_and_columns_say_the_same() -> None:
    """In a process of its own: the benchmark declares an event that the platform does not have."""
    subprocess.run([sys.executable, "-c", CODE], check=True)
