"""Producers one version ahead or behind, and a contract that is upgraded between two batches of one shard.

The next version of the platform is the real one: `domain` and `lambdas`, two lines longer, in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.schema import Schema

from domain.ingest.receipts import Receipt
from lambdas.ingest import registration
from tests.lambdas.ingest.conftest import Lake, kinesis_event

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tables")]

ROOT = Path(__file__).parents[3]
RATING = '    stars: Annotated[int, Field("One to five.", minimum=1, maximum=5, privacy=Privacy.PLAIN)]\n'
COMMENT = '    comment: Annotated[str | None, Field("Why.", max_length=512, privacy=Privacy.PLAIN)] = None\n'
CONSUME = "import json, sys; from lambdas.ingest.consume import handler; handler(json.load(sys.stdin), None)"
COLUMNS = """
import json
from domain.contract.iceberg import iceberg_schema
from domain.tables import RAW
print(json.dumps(iceberg_schema(RAW["rating"].columns)))
"""

Run = Callable[[str, Any], str]


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python in the platform's next version: `rating` has an optional field more, `search` is version 2."""
    folder = tmp_path_factory.mktemp("next")
    for room in ("domain", "lambdas"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    events = (folder / "domain/events.py").read_text()
    assert RATING in events
    events = events.replace(RATING, RATING + COMMENT)
    events = events.replace('= "search"\n', '= "search"\n    version: ClassVar[int] = 2\n')
    (folder / "domain/events.py").write_text(events)

    def run(code: str, said: Any = None) -> str:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(said),
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def evolve(lake: Lake, upgraded: Run) -> None:
    """Add the next version's columns to the table, as a deployment of the lake's stack does."""
    schema = Schema.model_validate(json.loads(upgraded(COLUMNS, None)))
    with lake.table("raw.rating").update_schema() as update:
        update.union_by_name(schema)


def rating(number: int, **fields: Any) -> bytes:
    common = {"event": "rating", "event_id": f"e-{number}", "event_time": "2026-03-01T11:00:00Z", "user_id": "u"}
    return json.dumps({**common, "product_id": "p", "stars": 3, **fields}).encode()


def search(number: int, **fields: Any) -> bytes:
    common = {"event": "search", "event_id": f"e-{number}", "event_time": "2026-03-01T11:00:00Z", "user_id": "u"}
    return json.dumps({**common, "query": "q", "results": 1, **fields}).encode()


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.table(table).scan().to_arrow().to_pylist()
    return sorted(found, key=lambda row: row["sequence"])


def accounted(receipt: Receipt) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    return dict(receipt.account.landed), dict(receipt.account.quarantined), dict(receipt.ignored)


def test_a_producer_one_field_ahead_loses_no_event(lake: Lake) -> None:
    lake.consume([rating(0), rating(1, comment="good"), rating(2, comment="bad", mood=7)])
    lake.commit()

    assert [row["event_id"] for row in rows(lake, "raw.rating")] == ["e-0", "e-1", "e-2"]
    assert accounted(lake.chain()[0]) == ({"rating": 3}, {}, {"rating": 3})
    assert [(row["event_id"], row["field"], row["value"]) for row in rows(lake, "raw.undeclared")] == [
        ("e-1", "comment", '"good"'),
        ("e-2", "comment", '"bad"'),
        ("e-2", "mood", "7"),
    ]


def test_an_event_or_a_version_not_yet_known_is_set_aside_with_its_bytes(lake: Lake) -> None:
    ahead = [search(0, version=2), rating(1, event="refund")]
    lake.consume(ahead)
    lake.commit()

    found = rows(lake, "raw.quarantine")
    assert [(row["reason"], row["payload"]) for row in found] == [
        ("unknown_version", ahead[0]),
        ("unknown_event", ahead[1]),
    ]


def test_what_was_set_aside_lands_once_the_contract_knows_it(lake: Lake, upgraded: Run) -> None:
    lake.consume([search(0, version=2)])
    lake.commit()
    [aside] = rows(lake, "raw.quarantine")
    upgraded(CONSUME, kinesis_event([aside["payload"]], start=1))

    lake.commit()

    [row] = rows(lake, "raw.search")
    assert (row["event_id"], row["version"]) == ("e-0", 2)


def test_a_producer_one_version_behind_loses_no_event(lake: Lake, upgraded: Run) -> None:
    """Without the new optional field it lands; of an older version of an event it is set aside, with its bytes."""
    old = [rating(0), search(1), search(2, version=1)]
    upgraded(CONSUME, kinesis_event(old))
    evolve(lake, upgraded)
    lake.commit()

    [row] = rows(lake, "raw.rating")
    assert (row["event_id"], row["comment"]) == ("e-0", None)
    aside = rows(lake, "raw.quarantine")
    assert [(row["reason"], row["payload"]) for row in aside] == [("unknown_version", each) for each in old[1:]]


def test_a_contract_upgraded_between_two_batches_goes_on_in_the_same_chain(lake: Lake, upgraded: Run) -> None:
    """Files of the old columns still wait when the table gains a column, and files of the new one come after them."""
    lake.consume([rating(0), rating(1, comment="too early")])
    evolve(lake, upgraded)
    upgraded(CONSUME, kinesis_event([rating(1, comment="too early"), rating(2, comment="new"), rating(3)], start=1))

    report = lake.commit()

    assert report["committed"]["raw.rating"] == {"files": 2, "rows": 4}
    assert [(row["event_id"], row["comment"]) for row in rows(lake, "raw.rating")] == [
        ("e-0", None),
        ("e-1", None),
        ("e-2", "new"),
        ("e-3", None),
    ]
    assert [receipt.account.duplicates for receipt in lake.chain()] == [0, 1]


def test_old_and_new_consumers_at_once_land_each_record_once(lake: Lake, upgraded: Run) -> None:
    """During a deployment warm processes of the old version go on beside new ones."""
    evolve(lake, upgraded)
    upgraded(CONSUME, kinesis_event([rating(0, comment="new"), rating(1)]))
    lake.consume([rating(0, comment="new"), rating(1), rating(2)])
    upgraded(CONSUME, kinesis_event([rating(1), rating(2), rating(3, comment="last")], start=1))

    lake.commit()

    assert [(row["event_id"], row["comment"]) for row in rows(lake, "raw.rating")] == [
        ("e-0", "new"),
        ("e-1", None),
        ("e-2", None),
        ("e-3", "last"),
    ]


def test_files_ahead_of_their_table_wait_for_it(lake: Lake, upgraded: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions were deployed before the lake: nothing is registered in part, nothing is lost, and it is said."""
    monkeypatch.setattr(registration, "PAUSE_SECONDS", 0.0)
    upgraded(CONSUME, kinesis_event([rating(0, comment="new")]))
    with pytest.raises(registration.TableBehind, match=r"raw\.rating lacks the column 'comment'"):
        lake.commit()
    assert rows(lake, "raw.rating") == []

    evolve(lake, upgraded)
    lake.commit()

    assert [row["comment"] for row in rows(lake, "raw.rating")] == ["new"]
