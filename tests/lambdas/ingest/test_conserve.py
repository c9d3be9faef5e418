"""Conservation: a day that adds up is proved, and whatever does not is found and named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import boto3
import pytest
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema

from domain.contract.fakes import fake_record
from domain.contract.iceberg import iceberg_schema
from domain.events import EVENTS
from domain.ingest.receipts import shard_prefix
from domain.tables import ACCOUNTS, CURATED, QUARANTINE, RAW, UNDECLARED
from lambdas import athena
from lambdas.athena import Athena, QueryFailed
from lambdas.ingest import conserve, rows
from lambdas.ingest.registration import describe
from lambdas.privacy.files import client
from lambdas.privacy.table import erase_table
from local.cloud import Cloud
from tests.databases import databases
from tests.domain.contract.strategies import NOW
from tests.lambdas.ingest.conftest import BUCKET, FIRST, SHARD, STREAM, Lake, create_tables

pytestmark = pytest.mark.slow

OTHER = "shardId-000000000001"
YESTERDAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture(scope="session")
def endpoint(cloud: Cloud) -> str:
    """Athena counts, so it takes the whole laptop cloud."""
    return cloud.endpoint


@dataclass
class Books:
    """A lake whose receipts were written yesterday: three batches of one shard and two of another, all committed."""

    lake: Lake

    def prove(self, **event: Any) -> dict[str, Any]:
        return conserve.handler(event, None)

    def said(self) -> list[str]:
        return [gap["said"] for gap in self.prove()["gaps"]]

    def receipts(self, shard: str = SHARD) -> list[str]:
        """List a shard's receipts in the order of the chain."""
        return list(self.lake.bucket.keys(shard_prefix(STREAM, shard)))[::-1]

    def rewrite(self, key: str, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.lake.bucket.get(key))
        change(body)
        self.lake.bucket.put(key, json.dumps(body).encode())
        return body

    def file_of(self, receipt: str, table: str) -> str:
        """Name the file that a receipt landed for a table."""
        [key] = [f["key"] for f in json.loads(self.lake.bucket.get(receipt))["files"] if f["table"] == table]
        return str(key)

    def unregister(self, key: str, table: str) -> None:
        opened = self.lake.table(table)
        [gone] = [t.file for t in opened.scan().plan_files() if t.file.file_path.endswith(key)]
        with opened.transaction() as transaction, transaction.update_snapshot().overwrite() as commit:
            commit.delete_data_file(gone)

    def register(self, key: str, table: str) -> None:
        opened = self.lake.table(table)
        with opened.transaction() as transaction, transaction.update_snapshot().fast_append() as commit:
            for file in describe(opened, [f"s3://{BUCKET}/{key}"]):
                commit.append_data_file(file)

    def curate(self, event: str, start: int = 0) -> None:
        """Curate what arrived, from one row on."""
        found = self.lake.table(f"raw.{event}").scan().to_arrow().to_pylist()
        some = sorted(found, key=lambda row: str(row["event_id"]))[start:]
        rows.append(conserve.catalog(), self.lake.bucket, CURATED[event], some)


@pytest.fixture
def books(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    made = Books(lake)
    monkeypatch.setenv("WORKGROUP", "rivermill")
    monkeypatch.setattr(athena, "POLL_SECONDS", 0.02)
    desk = boto3.client("athena")
    where = {"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/athena/"}}
    desk.create_work_group(Name="rivermill", Configuration=where)
    with databases(boto3.client("glue"), "raw", "curated"):
        create_tables(conserve.catalog(), *RAW.values(), UNDECLARED, QUARANTINE, ACCOUNTS)
        for table in CURATED.values():
            conserve.catalog().create_table(
                table.full_name,
                Schema.model_validate(iceberg_schema(table.columns)),
                location=f"s3://{BUCKET}/{table.prefix}",
                partition_spec=UNPARTITIONED_PARTITION_SPEC,
            )
        land(made)
        yield made
    desk.delete_work_group(WorkGroup="rivermill")


def land(books: Books) -> None:
    """Land, commit and curate; each batch holds two ratings, two searches and two broken records."""
    for shard, batches in ((SHARD, 3), (OTHER, 2)):
        for batch in range(batches):
            chance = random.Random(f"{shard}{batch}")
            good = [fake_record(EVENTS[event], chance, NOW) for event in ("rating", "rating", "search", "search")]
            books.lake.consume([*good, b"noise", b"broken"], start=batch * 6, shard=shard)
        for number, key in enumerate(books.receipts(shard)):
            moment = YESTERDAY + timedelta(hours=6 + number)
            books.rewrite(key, partial(dict.update, written_at=moment.isoformat()))
    books.lake.commit()
    for event in ("rating", "search"):
        books.curate(event)


def test_a_day_that_adds_up_is_proved_and_kept_once_however_often(books: Books) -> None:
    books.prove()
    [other] = books.lake.table(ACCOUNTS.full_name).scan().to_arrow().slice(0, 1).to_pylist()
    rows.append(conserve.catalog(), books.lake.bucket, ACCOUNTS, [{**other, "day": "2026-03-01"}, other])
    told = books.prove(day=YESTERDAY.date().isoformat())

    assert (told["day"], told["balanced"], told["gaps"]) == (YESTERDAY.date().isoformat(), True, [])
    assert {shard["shard"]: (shard["received"], shard["counted"], shard["files"]) for shard in told["shards"]} == {
        SHARD: (18, 18, 9),
        OTHER: (12, 12, 6),
    }
    kept = books.lake.table(ACCOUNTS.full_name).scan().to_arrow().to_pylist()
    assert sorted((row["day"], row["shard"], row["received"], row["gaps"], row["detail"]) for row in kept) == [
        ("2026-03-01", SHARD, 18, 0, None),
        (told["day"], SHARD, 18, 0, None),
        (told["day"], OTHER, 12, 0, None),
    ]
    assert json.loads(books.lake.bucket.get(f"conservation/{told['day']}.json")) == told


def test_a_file_that_lost_its_registration_and_one_that_was_registered_twice_are_named(books: Books) -> None:
    lost, twice = (
        books.file_of(books.receipts()[1], "raw.search"),
        books.file_of(books.receipts(OTHER)[0], "raw.quarantine"),
    )
    books.unregister(lost, "raw.search")
    books.register(twice, "raw.quarantine")

    assert books.said() == [
        f"rows missing: {STREAM}/{SHARD}: raw.search, {lost}: 2 rows expected, 0 found",
        f"rows doubled: {STREAM}/{OTHER}: raw.quarantine, {twice}: 2 rows expected, 4 found",
    ]


def test_a_receipt_that_is_gone_is_named_by_the_position_that_it_followed_and_rings(
    books: Books, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in books.receipts():
        body = books.lake.bucket.get(key)
        books.lake.bucket.delete([key])
        capsys.readouterr()

        said = books.said()

        where = f"the chain after position {json.loads(body)['follows']}"
        assert said[0].startswith(f"receipt missing: {STREAM}/{SHARD}: {where}")
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["ConservationGaps"] for line in lines if "ConservationGaps" in line] == [len(said)]
        assert [line["conservation"] for line in lines if "conservation" in line] == said
        books.lake.bucket.put(key, body)
    assert books.said() == []


def test_a_shard_that_lost_all_its_receipts_is_named(books: Books) -> None:
    books.lake.bucket.delete(books.receipts(OTHER))

    reached = FIRST + 11
    assert books.said() == [
        f"receipt missing: {STREAM}/{OTHER}: the chain after position 0: {reached} expected, the end found"
    ]


def test_an_account_that_was_changed_is_named_even_if_it_still_adds_up(books: Books) -> None:
    """In the second receipt, account and entries agree with each other; the footer and the table say otherwise."""

    def shrink(body: dict[str, Any]) -> None:
        body["received"] -= 1
        body["landed"]["rating"] -= 1
        for file in body["files"]:
            file["rows"] -= file["table"] == "raw.rating"

    first, _, third = books.receipts()
    books.rewrite(first, lambda body: body["landed"].update(search=1))
    books.rewrite(third, shrink)
    file = books.file_of(third, "raw.rating")

    said = books.said()

    assert f"unaccounted: {STREAM}/{SHARD}: {first}: 6 received expected, 5 settled found" in said
    assert f"count changed: {STREAM}/{SHARD}: raw.search in {first}: 1 rows expected, 2 found" in said
    assert f"count changed: {STREAM}/{SHARD}: {file}: 1 rows expected, 2 found" in said
    assert f"rows doubled: {STREAM}/{SHARD}: raw.rating, {file}: 1 rows expected, 2 found" in said


def test_receipts_that_nobody_committed_are_named(books: Books) -> None:
    for number in range(2):
        books.lake.consume([b"late"], start=30 + number)
    for key in books.receipts()[3:]:
        books.rewrite(key, lambda body: body.update(written_at=(YESTERDAY + timedelta(hours=23)).isoformat()))

    said = books.said()

    assert said[0].startswith(f"not committed: {STREAM}/{SHARD}: position in raw.quarantine: {FIRST + 31} expected")


def test_an_event_that_is_not_curated_and_one_that_is_so_twice_are_named(books: Books) -> None:
    arrived = datetime.fromtimestamp(1772366400, timezone.utc)
    day = arrived.replace(hour=0, minute=0, second=0, microsecond=0)
    told = books.lake.table("curated.rating")
    with told.transaction() as transaction, transaction.update_snapshot().overwrite() as commit:
        for task in told.scan().plan_files():
            commit.delete_data_file(task.file)
    books.curate("rating", start=1)
    books.curate("search")

    found = conserve.prove(books.lake.bucket, Athena(boto3.client("athena"), "rivermill"), day.date())

    assert found.curated["rating"] == {"distinct": 10, "missing": 1, "doubled": 0}
    assert sorted(str(gap) for gap in found.gaps) == [
        "curated twice: all/all: curated.search: 10 events once expected, 10 doubled found",
        "not curated: all/all: curated.rating: 10 events once expected, 1 missing found",
    ]


def test_a_day_adds_up_after_people_were_erased_once_it_is_known_where_their_rows_had_come_in(books: Books) -> None:
    client.cache_clear()
    gone = books.lake.table("raw.rating").scan().to_arrow().to_pylist()[0]
    erase_table(conserve.catalog(), "raw.rating", [gone["event_id"]], "event_id")
    before = [said for said in books.said() if "raw.rating" in said]
    where = {"raw.rating": {gone["shard"]: [gone["sequence"]]}}
    books.lake.bucket.put("conservation/erased/job.json", json.dumps(where).encode())

    assert before, "without the note the row is missing"
    assert not [said for said in books.said() if "raw.rating" in said]


def test_a_day_that_cannot_be_proved_rings_too(books: Books, capsys: pytest.CaptureFixture[str]) -> None:
    boto3.client("glue").delete_table(DatabaseName="curated", Name="rating")

    with pytest.raises(QueryFailed, match=r"curated\.rating"):
        books.prove()

    assert '"ConservationGaps": 1' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("event", "field", "words"),
    [
        ({"day": "2026-13-01"}, "day", "YYYY-MM-DD"),
        ({"day": "2999-01-01"}, "day", "it is not over"),
        ({"days": 1}, "days", "there is no such field; write day"),
    ],
)
def test_a_day_that_nobody_can_prove_is_refused(lake: Lake, event: dict[str, Any], field: str, words: str) -> None:
    refused = conserve.handler(event, None)["refused"]

    assert refused["field"] == field
    assert words in refused["fix"]
