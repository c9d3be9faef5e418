"""Tables are kept in shape beside readers, committers and erasures, and none of them loses or gains a row."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.glue.responses import GlueResponse
from moto.s3.models import s3_backends

from domain.contract.arrow import arrow_schema
from domain.ingest.batch import encode
from domain.ingest.commits import position_property
from domain.ingest.receipts import Account, DataFile, Receipt
from domain.tables import CURATED, RAW
from glue_jobs import lake
from glue_jobs.process import compact, curate
from lambdas.ingest.registration import register
from tests.glue_jobs.builders import MORNING, Row, any_event, minutes
from tests.glue_jobs.frames import Lake
from tests.glue_jobs.tables import BUCKET, body, catalog, keys, s3

pytestmark = pytest.mark.slow

VIEWS = RAW["page_view"]
POSITION = position_property("clicks", "shard-0")
NOW = datetime.now(timezone.utc)
LATER = NOW + timedelta(days=40)
LONG_AGO = datetime(2026, 1, 1)  # noqa: DTZ001 - moto's times are naive


def view(number: int) -> Row:
    return any_event(at=minutes(number), event_id=f"e-{number}", user_id=f"u-{-number % 7}")


def landed(first: int, rows: int = 4) -> Receipt:
    """Land a batch as the consumer does; its receipt follows number `first`."""
    events = [view(number) for number in range(first, first + rows)]
    for event in events:
        event.pop("event")
    content = encode(pa.Table.from_pylist(events, arrow_schema(VIEWS.columns)))
    key = f"landing/page_view/clicks/shard-0/{first:060d}-{MORNING:%Y-%m-%d}-x.parquet"
    s3().put_object(Bucket=BUCKET, Key=key, Body=content)
    return Receipt(
        stream="clicks",
        shard="shard-0",
        follows=first,
        first=first + 1,
        last=first + rows,
        account=Account(rows, {"page_view": rows}, {}, 0),
        ignored={},
        files=(DataFile(VIEWS.full_name, key, rows, len(content)),),
        attempt="x",
        written_at=MORNING,
    )


def commit(first: int) -> None:
    """Commit a batch as the committer does."""
    assert register(catalog(), BUCKET, VIEWS.full_name, [landed(first)])


def arrive(batches: int) -> None:
    for number in range(batches):
        commit(4 * number)


def ids(home: Lake) -> list[str]:
    return sorted(row["event_id"] for row in home.rows(VIEWS))


def sent(rows: int) -> list[str]:
    return sorted(f"e-{number}" for number in range(rows))


def files() -> list[Any]:
    return [task.file for task in catalog().load_table(VIEWS.full_name).scan().plan_files()]


def during(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Do some work when the next writer has written its files and is about to commit them."""
    waiting, update = threading.Semaphore(1), GlueResponse.update_table

    def interrupted(response: Any) -> Any:
        if waiting.acquire(blocking=False):
            work()
        return update(response)

    monkeypatch.setattr(GlueResponse, "update_table", interrupted)


def test_many_small_files_become_one_that_is_sorted_and_indexed(empty_lake: Lake) -> None:
    arrive(6)
    before = catalog().load_table(VIEWS.full_name).scan()
    planned = [task.file.file_path for task in before.plan_files()]

    done = compact.keep(empty_lake.spark, NOW, VIEWS)

    [file] = files()
    written = pq.ParquetFile(pa.BufferReader(body(file.file_path)))
    rows = written.read().to_pylist()
    assert (done.rewritten, done.written, done.unfinished, len(planned)) == (6, 1, False, 6)
    assert rows == sorted(rows, key=lambda row: (row["user_id"], row["event_time"]))
    assert ids(empty_lake) == sent(24)
    column = written.metadata.row_group(0).column(written.schema_arrow.names.index("event_id"))
    assert (column.compression, column.statistics.has_min_max) == ("ZSTD", True)
    assert column.to_dict()["has_dictionary_page"] is False
    # What the committer noted stands, and a reader that had begun reads on.
    assert catalog().load_table(VIEWS.full_name).properties[POSITION] == "24"
    assert sorted(before.to_arrow()["event_id"].to_pylist()) == sent(24)


def test_few_files_are_left_alone(empty_lake: Lake) -> None:
    arrive(4)

    compact.rewrite(empty_lake.spark, VIEWS, compact.Upkeep())

    assert len(empty_lake.snapshots(VIEWS)) == 4


def test_a_commit_made_meanwhile_stands_beside_it(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(6)
    during(monkeypatch, lambda: commit(24))

    done = compact.keep(empty_lake.spark, NOW, VIEWS)

    assert (done.rewritten, done.unfinished, len(files())) == (6, False, 2)
    assert ids(empty_lake) == sent(28)
    assert catalog().load_table(VIEWS.full_name).properties[POSITION] == "28"


@pytest.mark.parametrize("mode", ["copy-on-write", "merge-on-read"])
def test_what_is_deleted_meanwhile_does_not_come_back(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    spark, name = empty_lake.spark, lake.name(VIEWS)
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('write.delete.mode'='{mode}')")
    arrive(6)
    during(monkeypatch, lambda: spark.sql(f"DELETE FROM {name} WHERE event_id = 'e-3'"))

    first, second = compact.Upkeep(), compact.Upkeep()
    compact.rewrite(spark, VIEWS, first)

    left = sorted({*sent(24)} - {"e-3"})
    assert (first.unfinished, first.written) == (True, 0)
    assert ids(empty_lake) == left
    compact.rewrite(spark, VIEWS, second)
    assert (second.unfinished, ids(empty_lake), len(files())) == (False, left, 1)


def test_incremental_readers_see_no_row_twice(empty_lake: Lake) -> None:
    spark = empty_lake.spark

    def curated() -> dict[str, int | None]:
        todo = curate.plan(spark, "page_view")
        return curate.account(spark, todo, curate.curate(spark, todo))

    arrive(6)
    assert curated()["read"] == 24
    commit(24)
    for table in (VIEWS, CURATED["page_view"]):
        compact.rewrite(spark, table, compact.Upkeep())
    commit(28)

    assert len(files()) == 2
    assert curated() == {"read": 8, "written": 8, "duplicates": 0, "conflicting": 0}
    assert sorted(row["event_id"] for row in empty_lake.rows(CURATED["page_view"])) == sent(32)


def test_only_what_nobody_can_need_is_removed(empty_lake: Lake) -> None:
    old, young = f"{VIEWS.prefix}data/orphan.parquet", f"{VIEWS.prefix}data/being-written.parquet"
    shadow = f"{VIEWS.prefix.rstrip('/')}_shadow/data/other.parquet"
    arrive(6)
    commits = keys("landing/page_view/")
    uncommitted = landed(24).files[0].key
    for key in (old, young, shadow):
        s3().put_object(Bucket=BUCKET, Key=key, Body=b"x")
    for key in (old, shadow, uncommitted):
        s3_backends["123456789012"]["aws"].get_object(BUCKET, key).last_modified = LONG_AGO

    within = compact.keep(empty_lake.spark, NOW, VIEWS)
    kept = keys("landing/page_view/")
    after = compact.Upkeep()
    compact.expire(empty_lake.spark, VIEWS, after, LATER)

    assert (within.orphans, within.expired) == (1, 0)
    assert kept == [*commits, uncommitted]
    assert (after.expired, keys("landing/page_view/")) == (6, [uncommitted])
    assert {young, shadow} <= {*keys("raw/page_view")}
    assert old not in keys(VIEWS.prefix)
    assert ids(empty_lake) == sent(24)
    assert catalog().load_table(VIEWS.full_name).properties[POSITION] == "24"


def test_many_manifests_become_few(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "MOST_MANIFESTS", 2)
    arrive(3)
    done = compact.Upkeep()

    compact.gather(empty_lake.spark, VIEWS, done)

    assert (done.manifests, lake.manifests(empty_lake.spark, VIEWS), ids(empty_lake)) == (3, 1, sent(12))


def test_it_accounts_for_the_tables_it_is_told(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrive(5)
    told = ["compact", "--bucket", BUCKET, "--JOB_RUN_ID", "jr_1", "--tables", "raw.page_view,raw.search", "--x", "1"]
    monkeypatch.setattr("sys.argv", told)

    compact.main()

    account = json.loads(capsys.readouterr().out)
    assert account == empty_lake.json("runs/jr_1/compact.json")
    assert {name: did["rewritten"] for name, did in account["tables"].items()} == {"raw.page_view": 5}


def test_a_table_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no table raw\.searches; there are raw\.page_view"):
        compact.Arguments.read(["--bucket", "b", "--JOB_RUN_ID", "j", "--tables", "raw.searches"])
