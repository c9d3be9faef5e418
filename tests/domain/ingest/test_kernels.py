"""Arrow without its wrappers: the same answers and the same bytes, and a start that does not wait for the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from domain.ingest import kernels
from tests.domain.contract.strategies import NOW
from tests.domain.ingest.test_contract import write
from tests.domain.ingest.test_kinds import columns, table

TEXTS = pa.array(["a", "bé", None, "", "aZ", "\0x"])
NUMBERS = pa.array([1.5, -2.0, None, 0.0])
TRUTHS = pa.array([True, None, False])
NOTHING = pa.array([], pa.bool_())
SAME = {
    "ends_with": (kernels.ends_with(TEXTS, "Z"), pc.ends_with(TEXTS, "Z")),
    "match_substring": (kernels.contains(TEXTS, "\0"), pc.match_substring(TEXTS, "\0")),
    "is_in": (kernels.is_in(TEXTS, pa.array(["a", ""])), pc.is_in(TEXTS, pa.array(["a", ""]))),
    "ascii_ltrim": (kernels.left_trimmed(TEXTS, "\0"), pc.ascii_ltrim(TEXTS, "\0")),
    "cast": (kernels.cast(TRUTHS, pa.int64()), pc.cast(TRUTHS, pa.int64())),
    "take": (kernels.take(TEXTS, kernels.places([1, 0])), pc.take(TEXTS, pa.array([1, 0]))),
    "fill_null": (kernels.or_else(TRUTHS, True), pc.fill_null(TRUTHS, True)),
    "abs": (kernels.absolute(NUMBERS), pc.abs(NUMBERS)),
    "and": (kernels.both(TRUTHS, True), pc.and_(TRUTHS, True)),
    "unique": (kernels.unique(TRUTHS), pc.unique(TRUTHS)),
}


@pytest.mark.parametrize("name", SAME)
def test_a_kernel_answers_as_its_wrapper(name: str) -> None:
    ours, theirs = SAME[name]

    assert ours.equals(theirs)


def test_totals_count_no_null_and_are_nought_of_nothing() -> None:
    assert [kernels.total(some) for some in (NUMBERS, TRUTHS, NOTHING)] == [-0.5, 1, 0]
    assert [kernels.holds(some) for some in (TRUTHS, pa.array([True, None]), NOTHING)] == [False, True, True]


@pytest.mark.parametrize("count", [0, 1, kernels.AT_ONCE, 2 * kernels.AT_ONCE + 9])
def test_the_places_of_what_is_true_are_those_that_arrow_finds(count: int) -> None:
    truths = pa.array([place % 3 == 0 for place in range(count)], pa.bool_())

    assert kernels.trues(truths).to_pylist() == pc.indices_nonzero(truths).to_pylist()


def test_a_file_is_what_pyarrow_writes() -> None:
    rows = pa.table({"text": ["a", "b", "a"] * 100, "number": list(range(300)), "moment": [NOW] * 300})
    options = {"compression": "zstd", "use_dictionary": ["text"], "write_statistics": ["number"]}
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=128, **options)

    assert kernels.parquet(rows, 128, ["text"], ["number"]) == sink.getvalue().to_pybytes()


START = """
import sys
class NoPandas:  # the layer has none; Arrow takes it in where it is
    def find_spec(self, name, path, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoPandas())
from datetime import datetime, timezone
from domain.ingest.batch import Arrived, encode, sort
from domain.ingest.landing import late
now = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
payloads = [bytes.fromhex(text) for text in sys.argv[1:]]
batch = sort([Arrived(number, now, payload) for number, payload in enumerate(payloads)], "s")
assert all(encode(part.rows) and late(part.rows) >= 0 for part in batch.parts)
print(batch.landed, batch.quarantined)
print({"pyarrow.compute", "pyarrow.parquet", "pyarrow.fs", "domain.tables"} & set(sys.modules))
classes = [each for name, module in sys.modules.items() if name.startswith("domain") for each in vars(module).values()]
print([each for each in classes if hasattr(each, "__dataclass_fields__")])  # each takes a millisecond to make
"""


def test_a_start_waits_for_no_more_than_a_batch_needs() -> None:
    payloads = [write(), write(more=1), b"poison", columns(table())]
    command = [sys.executable, "-c", START, *(payload.hex() for payload in payloads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])

    assert done.stdout.splitlines() == ["{'rating': 5} {'not_json': 1}", "set()", "[]"]
