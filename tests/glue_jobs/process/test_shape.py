"""Compacted files are as large as they should be, however much their rows shrink, and are then left alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from domain import layout
from domain.contract.arrow import arrow_schema
from domain.ingest.batch import encode
from domain.ingest.receipts import Account, DataFile, Receipt
from domain.tables import RAW
from glue_jobs.process import compact, shape
from glue_jobs.process.shape import Files
from lambdas.ingest.registration import register
from tests.glue_jobs.builders import MORNING
from tests.glue_jobs.frames import Lake
from tests.glue_jobs.tables import BUCKET, catalog, s3

VIEWS = RAW["page_view"]
SCALE = 256  # files of 512 KiB, not 128 MiB
TARGET = layout.TARGET_FILE_BYTES // SCALE
SMALL = layout.SMALL_FILE_BYTES // SCALE
LARGEST = layout.LARGEST_FILE_BYTES // SCALE
ROWS = 1_000  # of a landed file
SMALL_GROUPS = {
    "write.parquet.row-group-size-bytes": str(64 << 10),
    "write.parquet.bloom-filter-ndv.column.event_id": "1000",
}
DAY = 86_400_000_000


@pytest.fixture
def scaled(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake whose files are all meant to be smaller by the same measure."""
    for module in (compact, shape):
        for name in [name for name in vars(module) if name.endswith("_BYTES")]:
            monkeypatch.setattr(module, name, getattr(module, name) // SCALE)
    small = {name: str(int(value) // SCALE) for name, value in compact.REWRITE.items() if name.endswith("-bytes")}
    monkeypatch.setattr(compact, "REWRITE", {**compact.REWRITE, **small})
    with catalog().load_table(VIEWS.full_name).transaction() as change:
        change.set_properties(SMALL_GROUPS)
    return empty_lake


def page_views(chance: np.random.Generator, people: int, width: int, day: int) -> pa.Table:
    """Make a landed file's rows: each person's referrer is always the same, so that the more the fewer there are."""
    who = chance.integers(people, size=ROWS)
    own = np.array([np.random.default_rng(one).bytes(width).hex() for one in who])
    texts = {"event_id": [chance.bytes(8).hex() for _ in who], "user_id": [f"u-{one}" for one in who], "referrer": own}
    times = np.int64(MORNING.timestamp() * 1e6) + day * DAY + np.sort(chance.integers(3_600_000_000, size=ROWS))
    columns = {**texts, "version": np.ones(ROWS, np.int64), "event_time": times, "arrived_at": times}
    table = pa.table(columns)
    schema = arrow_schema(VIEWS.columns)
    for name in {*schema.names} - {*columns}:
        table = table.append_column(name, pa.repeat("x", ROWS))
    return table.select(schema.names).cast(schema)


def land(batches: list[pa.Table], first: int = 0) -> None:
    """Land batches and commit them, all at once."""
    receipts = []
    for number, rows in enumerate(batches, first):
        key, content = f"landing/page_view/clicks/shard-0/{number}.parquet", encode(rows)
        s3().put_object(Bucket=BUCKET, Key=key, Body=content)
        receipt = Receipt(
            stream="clicks",
            shard="shard-0",
            follows=number,
            first=number + 1,
            last=number + 1,
            account=Account(len(rows), {"page_view": len(rows)}, {}, 0),
            ignored={},
            files=(DataFile(VIEWS.full_name, key, len(rows), len(content)),),
            attempt="x",
            written_at=MORNING,
        )
        receipts.append(receipt)
    assert register(catalog(), BUCKET, VIEWS.full_name, receipts)


def sizes() -> dict[int, list[int]]:
    """The sizes of the table's files, by the day of their partition."""
    found: dict[int, list[int]] = {}
    for task in catalog().load_table(VIEWS.full_name).scan().plan_files():
        found.setdefault(task.file.partition[0], []).append(task.file.file_size_in_bytes)
    return {day: sorted(found[day]) for day in sorted(found)}


def compacted(home: Lake) -> compact.Upkeep:
    done = compact.Upkeep()
    compact.rewrite(home.spark, VIEWS, done)
    return done


def days_outside() -> dict[int, list[int]]:
    """The days that hold more than one small file, or any that is too large."""
    return {
        day: found
        for day, found in sizes().items()
        if sum(size < SMALL for size in found) > 1 or any(size > LARGEST for size in found)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("people", "width", "files", "factor"),
    [
        pytest.param(1_500, 150, 30, 0.36, id="rows that shrink"),
        pytest.param(1_000_000, 40, 20, 1.1, id="rows that do not"),
        # Iceberg would make two files of them, each small, and join and divide them again every night.
        pytest.param(1_000_000, 40, 9, 1.1, id="rows for more than one file and less than two"),
    ],
)
def test_files_come_as_large_as_they_should_be(
    scaled: Lake, people: int, width: int, files: int, factor: float
) -> None:
    """Seed 20261122."""
    chance = np.random.default_rng(20261122)
    land([page_views(chance, people, width, day=0) for _ in range(files)])
    [landed] = sizes().values()

    done, [found] = compacted(scaled), sizes().values()

    assert sum(found) / sum(landed) == pytest.approx(factor, rel=0.15)
    assert (done.unfinished, days_outside()) == (False, {})
    assert 0.75 <= sum(found) / len(found) / TARGET <= 1.6
    assert compacted(scaled) == compact.Upkeep()


@pytest.mark.slow
def test_the_next_day_is_planned_by_what_the_days_before_shrank_to(scaled: Lake) -> None:
    """Seed 20261123.  Two partitions are rewritten at once; no row goes ahead of the others."""
    chance = np.random.default_rng(20261123)
    land([page_views(chance, 4_000, 100, day=0) for _ in range(16)])
    compacted(scaled)
    land([page_views(chance, 4_000, 100, day=day) for day in (1, 2) for _ in range(12)], first=16)

    done = compacted(scaled)

    assert (done.rewritten, done.unfinished, days_outside()) == (24, False, {})
    assert compacted(scaled) == compact.Upkeep()


def test_a_factor_is_what_a_row_takes_there_against_what_it_takes_here() -> None:
    landed, sorted_ = Files(10, 1_000, 200_000), Files(1, 5_000, 250_000)

    assert landed.factor(sorted_) == 0.25
    assert landed.factor(Files()) == Files().factor(sorted_) == 1.0
    assert landed.factor(Files(1, 1_000_000, 1)) == shape.LEAST
    assert landed.factor(Files(1, 1, 1_000_000)) == shape.MOST


def test_a_group_holds_more_the_more_it_shrinks() -> None:
    found = shape.Shape(Files(10, 1_000, 200_000), Files())

    assert found.options(Files(1, 1_000, 50_000)) == {
        "compression-factor": "0.2500",
        "max-file-group-size-bytes": str(4 << 30),
    }
    assert found.options(Files(1, 1_000, 1))["max-file-group-size-bytes"] == str(shape.MOST_GROUP_BYTES)


def test_half_of_what_is_divided_is_not_small() -> None:
    divided = 1.1 * layout.PLANNED_FILE_BYTES  # Iceberg's own share

    assert divided / 2 > 1.02 * layout.SMALL_FILE_BYTES
    # Nor does it leave a rest when it is a tenth larger than foreseen, and is not divided.
    assert 1.1 * divided < layout.ENDED_FILE_BYTES < layout.LARGEST_FILE_BYTES - layout.GROUP_BYTES / 2
