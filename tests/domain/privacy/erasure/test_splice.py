"""A spliced file is the filtered one, and every row group that was not hit is the old one, byte for byte."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.privacy import residue
from domain.privacy.erasure.file import erase
from domain.privacy.erasure.footer import GROUPS, ORDINAL, Footer, UnsupportedFile, closed, extent, indexed, value
from domain.privacy.erasure.splice import Splice, find, splice
from domain.privacy.erasure.thrift import I16, read_struct, struct_bytes
from domain.privacy.erasure.whole import rewritten, write_with_slack
from domain.privacy.erasure.window import Content

SUBJECT = "u-07-the-subject"
USERS = [*(f"u-{number:02d}-someone" for number in range(9)), SUBJECT, None, ""]


@dataclass(frozen=True)
class Case:
    """A file, and whom to remove from it."""

    table: pa.Table = field(repr=False)
    content: bytes = field(repr=False)
    subjects: pa.Array


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw files of all kinds: sorted or not, with nulls, any codec, dictionaries or none, indexes or none, slack."""
    users = draw(st.lists(st.sampled_from(USERS), min_size=1, max_size=120))
    if draw(st.booleans()):
        users.sort(key=lambda user: (user is None, user or ""))
    options: dict[str, Any] = {
        "compression": draw(st.sampled_from(["zstd", "none", "snappy", "gzip"])),
        "use_dictionary": draw(st.sampled_from([True, False, ["user_id"]])),
        "write_page_index": draw(st.booleans()),
        "data_page_size": draw(st.sampled_from([16, 1 << 20])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "store_schema": draw(st.booleans()),
    }
    content = written(users, draw(st.sampled_from([1, 3, 10, 1000])), draw(st.booleans()), **options)
    subjects = draw(st.lists(st.sampled_from([user for user in USERS if user]), min_size=1, max_size=3))
    return Case(pq.read_table(io.BytesIO(content)), content, pa.array(subjects))


def rows(users: Sequence[str | None]) -> pa.Table:
    """Make a row for each user named."""
    count = range(len(users))
    return pa.table(
        {
            "event_id": [f"event-{number:040d}" for number in count],
            "user_id": pa.array(users, pa.string()),
            "price": pa.array([number / 7 if number % 3 else None for number in count], pa.float64()),
            "at": pa.array(count, pa.timestamp("us", "UTC")),
            "tags": pa.array([[f"t{number}", None] if number % 2 else None for number in count], pa.list_(pa.string())),
            "place": [{"city": f"c{number % 3}", "owner": user} for number, user in enumerate(users)],
            "seen": pa.array([number % 2 == 0 for number in count], pa.bool_()),
        }
    )


def spliced(content: bytes, subjects: pa.Array) -> Splice | None:
    source = Content(content)
    footer = Footer.read(source)
    found = find(source, footer, "user_id", subjects)
    return splice(source, footer, found) if found.hits else None


def filtered(case: Case) -> pa.Table:
    """Say by other means what should be left."""
    gone = set(case.subjects.to_pylist())
    return case.table.filter(pa.array([user not in gone for user in case.table["user_id"].to_pylist()]))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(cases())
def test_what_is_left_is_all_others_in_their_order(case: Case) -> None:
    done = spliced(case.content, case.subjects)

    made = done.applied(case.content) if done else case.content
    assert pq.read_table(io.BytesIO(made)).equals(filtered(case))
    assert done is None or done.size == len(made)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(cases())
def test_row_groups_that_were_not_hit_stay_byte_for_byte(case: Case) -> None:
    done = spliced(case.content, case.subjects)
    if done is None:
        return
    made = done.applied(case.content)

    found = find(Content(case.content), footer := Footer.read(Content(case.content)), "user_id", case.subjects)
    kept = [number for number in range(footer.metadata.num_row_groups) if number not in found.hits]
    for number, span in footer.groups(kept).items():
        start, end = extent(span.group)
        assert made[start:end] == case.content[start:end], number
        for at, size in indexed(span.group):
            assert made[at : at + size] == case.content[at : at + size], number


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None, max_examples=10
)
@given(case=cases())
def test_duckdb_reads_the_same(case: Case, tmp_path: Path) -> None:
    done = spliced(case.content, case.subjects)
    made = tmp_path / "made.parquet"
    made.write_bytes(done.applied(case.content) if done else case.content)

    asked = 'SELECT event_id, user_id, price, epoch_us("at"), tags, place, seen FROM read_parquet(?)'
    wanted = tmp_path / "wanted.parquet"
    pq.write_table(filtered(case), wanted)
    assert duckdb.execute(asked, [str(made)]).fetchall() == duckdb.execute(asked, [str(wanted)]).fetchall()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=20)
@given(cases())
def test_a_file_written_as_a_whole_is_the_same_rows(case: Case) -> None:
    made, left = rewritten(pa.py_buffer(case.content), "user_id", case.subjects)

    wanted = filtered(case)
    assert left == len(case.table) - len(wanted)
    assert (made is None) == (left in (0, len(case.table)))
    assert made is None or pq.read_table(io.BytesIO(made)).equals(wanted)


def written(users: Sequence[str | None], group: int = 10, slack: bool = False, **options: Any) -> bytes:
    table, sink = rows(users), pa.BufferOutputStream()
    if slack:
        write_with_slack(table, sink, group, **options)
    else:
        pq.write_table(table, sink, row_group_size=group, **options)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def any_users(count: int = 60) -> list[str]:
    return sorted(f"u-{number % 20:02d}-someone" if number % 9 else SUBJECT for number in range(count))


@pytest.mark.parametrize("subject", [SUBJECT, "a-the-first", "z-the-last"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_no_page_dictionary_bound_or_index_keeps_the_value(dictionary: bool, subject: str) -> None:
    """Nothing is compressed, so that the value would be seen; the first and the last are bounds of their row group."""
    users = sorted(subject if user == SUBJECT else user for user in any_users())
    content = written(users, compression="none", use_dictionary=dictionary, write_page_index=True)
    assert subject.encode() in content

    done = spliced(content, pa.array([subject]))

    assert done is not None
    assert subject.encode() not in done.applied(content)


def numbered(content: bytes) -> bytes:
    """Number the row groups of a file, as Spark does and pyarrow does not."""
    footer = Footer.read(Content(content))
    struct, _ = read_struct(footer.raw)
    for place, group in enumerate(value(struct, GROUPS)[1]):
        group[ORDINAL] = (I16, place)
    return content[: footer.start] + closed(struct_bytes(struct))


def test_a_row_group_of_the_subject_alone_leaves() -> None:
    content = numbered(written(["u-01"] * 10 + [SUBJECT] * 10 + ["u-99"] * 10))

    done = spliced(content, pa.array([SUBJECT]))

    assert done is not None
    footer = Footer.read(Content(done.applied(content)))
    assert footer.metadata.num_row_groups == 2
    assert [value(span.group, ORDINAL) for span in footer.groups([0, 1]).values()] == [0, 1]


def denser(users: Sequence[str | None], slack: bool) -> bytes:
    """Write a file whose ids are delta-encoded, which a row group written again is not: it grows by the change."""
    return written(
        users,
        group=100,
        slack=slack,
        compression="none",
        use_dictionary=["user_id"],
        column_encoding={"event_id": "DELTA_BYTE_ARRAY"},
        write_page_index=True,
    )


def test_a_row_group_that_grew_goes_to_the_end_and_its_place_is_blank() -> None:
    users = any_users(300)
    content = denser(users, slack=False)

    done = spliced(content, pa.array([SUBJECT]))

    assert done is not None
    made = done.applied(content)
    footer = Footer.read(Content(made))
    moved = [span for span in footer.groups(range(3)).values() if extent(span.group)[0] >= done.kept]
    assert moved
    assert all(not any(change) for _, change in done.edits)
    assert pq.read_table(io.BytesIO(made))["user_id"].to_pylist() == [user for user in users if user != SUBJECT]
    assert duckdb.from_parquet(io.BytesIO(made)).count("*").fetchall() == [(footer.metadata.num_rows,)]
    assert SUBJECT.encode() not in made


def test_slack_lets_a_row_group_grow_in_its_place() -> None:
    content = denser(any_users(300), slack=True)

    done = spliced(content, pa.array([SUBJECT]))

    assert done is not None
    footer = Footer.read(Content(done.applied(content)))
    assert all(extent(span.group)[1] <= done.kept for span in footer.groups(range(3)).values())


def test_an_erasure_after_another_still_finds_its_row_groups() -> None:
    content, users = written(any_users(200), write_page_index=True), any_users(200)
    for victim in sorted({user for user in users if user}):
        done = spliced(content, pa.array([victim]))
        assert done is not None
        if not done.metadata.num_rows:
            break
        content, users = done.applied(content), [user for user in users if user != victim]

        assert pq.read_table(io.BytesIO(content))["user_id"].to_pylist() == users


def test_a_file_with_an_arrow_dictionary_is_refused() -> None:
    """Each of its row groups would carry every value, the subject's too."""
    table = pa.table({"user_id": pa.array([SUBJECT, "u-1"]).dictionary_encode(), "n": [1, 2]})
    sink = io.BytesIO()
    pq.write_table(table, sink)

    with pytest.raises(UnsupportedFile, match="dictionaries"):
        spliced(sink.getvalue(), pa.array([SUBJECT]))


def test_a_file_of_an_arrow_dictionary_written_as_a_whole_forgets_the_value() -> None:
    table = pa.table({"user_id": pa.array([SUBJECT, "u-1", "u-2"]).dictionary_encode(), "n": [1, 2, 3]})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="none")

    made, left = rewritten(pa.py_buffer(sink.getvalue()), "user_id", pa.array([SUBJECT]))

    assert left == 1
    assert made is not None
    assert SUBJECT.encode() not in made


def test_what_is_no_parquet_file_is_refused() -> None:
    with pytest.raises(UnsupportedFile, match="PARE"):
        Footer.read(Content(b"PAR1....PARE"))


def test_a_column_that_is_not_there_is_named() -> None:
    source = Content(written(["u-1"]))

    with pytest.raises(UnsupportedFile, match="'who'"):
        find(source, Footer.read(source), "who", pa.array([SUBJECT]))


@settings(deadline=None, max_examples=30)
@given(cases())
def test_a_footer_read_and_written_is_the_same(case: Case) -> None:
    raw = Footer.read(Content(case.content)).raw

    struct, end = read_struct(raw)

    assert end == len(raw)
    assert struct_bytes(struct) == raw


def test_only_what_holds_the_subject_is_decoded() -> None:
    users = sorted(f"u-{number:05d}" for number in range(5000))
    content = written(users, group=500)
    source = Content(content)
    footer = Footer.read(source)

    found = find(source, footer, "user_id", pa.array(["u-02100"]))

    assert list(found.hits) == [4]
    [span] = footer.groups([4]).values()
    start, end = extent(span.group)
    done = splice(source, footer, found)
    assert done.decoded == end - start
    assert done.encoded <= 1.01 * (end - start)  # what is left may compress a little worse
    assert pc.sum(found.hits[4].rows).as_py() == 1


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view(), pa.large_string()])
@pytest.mark.parametrize("most_share", [0.0, 1.0])
def test_a_file_is_erased_whichever_of_arrows_layouts_it_says_to_have(kind: pa.DataType, most_share: float) -> None:
    """Arrow neither compares nor filters views."""
    table = rows(USERS)
    place = table.schema.get_field_index("user_id")
    table = table.set_column(place, "user_id", table["user_id"].cast(kind)).drop(["place"])
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=4)
    done = erase(Content(sink.getvalue()), "user_id", pa.array([SUBJECT]), most_share)

    assert done is not None and done.left is not None
    left = done.left.applied(sink.getvalue()) if isinstance(done.left, Splice) else done.left
    found = pq.read_table(io.BytesIO(left))
    assert found.schema.field("user_id").type == kind
    assert found.to_pylist() == [row for row in table.to_pylist() if row["user_id"] not in (SUBJECT, SUBJECT.encode())]
    assert not residue.found(left, [SUBJECT])
