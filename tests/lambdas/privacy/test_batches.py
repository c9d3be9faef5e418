"""How tables are put together for the invocations that remove people from them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask

from lambdas.privacy import erasure
from lambdas.privacy.erasure import TOGETHER_BYTES, batched
from lambdas.privacy.table import UnsupportedLayout, whole

SIZES = st.lists(st.integers(0, 2 * TOGETHER_BYTES), max_size=40)


@given(SIZES)
def test_each_table_is_in_one_batch_and_none_holds_more_than_is_allowed_unless_it_is_of_one_table(
    sizes: list[int],
) -> None:
    named = {f"raw.t{place}": size for place, size in enumerate(sizes)}
    batches = batched([{"name": name, "column": "user_id", "bytes": size} for name, size in named.items()])

    assert sorted(table["name"] for batch in batches for table in batch) == sorted(named)
    for batch in batches:
        assert len(batch) == 1 or sum(named[table["name"]] for table in batch) <= TOGETHER_BYTES
    assert len(batches) <= 1 + 2 * sum(sizes) // TOGETHER_BYTES


@pytest.mark.parametrize(("seconds", "going", "wait"), [(-10, [], 0), (-9.5, [], 1), (0, [], 10), (-9, ["job"], 5)])
def test_an_erasure_waits_as_long_as_it_is_worth(
    monkeypatch: pytest.MonkeyPatch, seconds: float, going: list[str], wait: int
) -> None:
    """Ten seconds after the last denial, and while a Spark job that began before goes on."""
    now = erasure._now()

    class Table:
        def standing(self, _: str) -> dict[str, Any]:
            return {"at": (now + timedelta(seconds=seconds)).isoformat()}

        def members(self, _: str) -> list[str]:
            return ["digest"]

    monkeypatch.setattr(erasure, "_now", lambda: now)
    monkeypatch.setattr(erasure, "erasures", Table)
    monkeypatch.setattr(erasure, "is_going", lambda job, _: job in going)
    monkeypatch.setattr(erasure, "settings", lambda: type("Any", (), {"jobs": "job,other"}))

    answer = erasure.quiet({"job": "j", "since": now.isoformat()}, None)  # type: ignore[arg-type]

    assert answer == {"quiet": not wait, "going": going, "wait": wait}


def test_a_file_of_which_rows_are_deleted_beside_it_is_refused_by_name() -> None:
    """Written again, it would have a new name, which no deletion knows."""
    clean, beside = (
        FileScanTask(DataFile.from_args(file_path=f"s3://lake/{name}.parquet"), delete_files=deletes)
        for name, deletes in (("a", set()), ("b", {DataFile.from_args(file_path="s3://lake/d.parquet")}))
    )

    assert whole([clean]) == [clean]
    with pytest.raises(UnsupportedLayout, match=r"s3://lake/b\.parquet has rows deleted beside it"):
        whole(iter([clean, beside]))
