"""Plans of commits: what a table lacks, from receipts and from the positions that it keeps."""

from __future__ import annotations

from datetime import datetime, timezone

from domain.ingest.commits import COMMIT_ORDER, WITNESS, Step, plan, position_property
from domain.ingest.receipts import Account, DataFile, Receipt
from domain.tables import QUARANTINE, RAW, UNDECLARED


def any_receipt(follows: int, last: int, *tables: str, shard: str = "0") -> Receipt:
    files = tuple(DataFile(table, f"{table}/{shard}/{follows}", rows=1, bytes=1) for table in tables)
    rows = {table: 1 for table in tables}
    account = Account(received=len(files), landed=rows, quarantined={}, duplicates=0)
    moment = datetime(2026, 3, 1, tzinfo=timezone.utc)
    return Receipt(
        stream="s",
        shard=shard,
        follows=follows,
        first=follows + 1,
        last=last,
        account=account,
        ignored={},
        files=files,
        attempt="a",
        written_at=moment,
    )


PROPERTY = position_property("s", "0")
RECEIPTS = [any_receipt(0, 9, "raw.rating"), any_receipt(9, 10, "raw.search"), any_receipt(10, 12, "raw.rating")]


def keys(step: Step | None) -> list[str]:
    return [file.key for file in step.files] if step else []


def test_a_new_table_gets_all_its_files_and_the_last_position() -> None:
    step = plan("raw.rating", RECEIPTS, {})

    assert step is not None
    assert keys(step) == ["raw.rating/0/0", "raw.rating/0/10"]
    assert (step.before, step.after, step.rows) == ({PROPERTY: None}, {PROPERTY: "12"}, 2)


def test_receipts_up_to_the_position_are_left_out() -> None:
    """Nine is before ten, which text would deny."""
    assert keys(plan("raw.rating", RECEIPTS, {PROPERTY: "9"})) == ["raw.rating/0/10"]


def test_a_table_at_the_end_needs_no_step() -> None:
    assert plan("raw.rating", RECEIPTS, {PROPERTY: "12"}) is None


def test_a_table_with_no_files_needs_no_step_but_the_witness_does() -> None:
    assert plan("raw.purchase", RECEIPTS, {}) is None
    step = plan(WITNESS, RECEIPTS, {})
    assert step is not None
    assert (step.files, step.after) == ((), {PROPERTY: "12"})


def test_a_shard_that_is_done_keeps_its_position_while_another_moves() -> None:
    receipts = [*RECEIPTS, any_receipt(0, 5, "raw.rating", shard="1")]

    step = plan("raw.rating", receipts, {PROPERTY: "12"})

    assert keys(step) == ["raw.rating/1/0"]
    assert step is not None
    assert step.after == {position_property("s", "1"): "5"}


def test_the_witness_is_committed_last() -> None:
    assert set(COMMIT_ORDER) == {table.full_name for table in (*RAW.values(), UNDECLARED, QUARANTINE)}
    assert COMMIT_ORDER[-1] == WITNESS
