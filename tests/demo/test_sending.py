"""What the demo sends in frames is, event by event, what it would send without."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

import pytest

from clients.world.world import FEWEST_EVENTS, World
from demo.sending import as_written, send_all
from demo.truth import Truth
from domain.ingest import frames
from domain.ingest.batch import Arrived, sort
from domain.tables import QUARANTINE

UNTIL = date(2026, 3, 1)
ARRIVED = datetime(2026, 3, 2, tzinfo=timezone.utc)
EVENTS = max(FEWEST_EVENTS, 5_000)


@dataclass
class Stream:
    """Takes every record, as the stream does."""

    records: list[bytes] = field(default_factory=list)

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.records += [record["Data"] for record in Records]
        return {"FailedRecordCount": 0, "Records": [{"ShardId": "s", "SequenceNumber": "1"} for _ in Records]}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    world = World(seed=7, events=EVENTS, until=UNTIL)
    return list(Truth(tmp_path_factory.mktemp("truth")).record(world))


def counted(stream: Stream) -> Counter[str]:
    """Count the events that land by name, and those set aside by reason."""
    found: Counter[str] = Counter()
    for part in sort([Arrived(n, ARRIVED, data) for n, data in enumerate(stream.records)], "s").parts:
        names = part.rows["reason"].to_pylist() if part.table is QUARANTINE else [part.table.name] * part.rows.num_rows
        found.update(names)
    return found


def test_frames_carry_the_same_events_and_the_report_counts_each(records: list[tuple[str, bytes]]) -> None:
    plain, framed = Stream(), Stream()

    one = send_all(records, client=plain)
    other = send_all(records, client=framed, framed=True)

    assert (one.accepted, other.accepted, len(plain.records)) == (EVENTS, EVENTS, EVENTS)
    assert not other.refused
    assert counted(framed) == counted(plain)
    assert counted(plain).total() == EVENTS


def test_a_quarter_of_the_events_travels_in_frames_of_both_kinds(records: list[tuple[str, bytes]]) -> None:
    stream = Stream()
    send_all(records, client=stream, framed=True)
    kinds = Counter(frames.unpack(data).kind for data in stream.records if frames.is_frame(data))

    assert kinds.keys() == {"ndjson", "arrow"}
    assert 0.65 * EVENTS < len(stream.records) < 0.85 * EVENTS


@pytest.mark.parametrize(
    "payload",
    [b'{"user_id":"u-1","user_id":"u-2"}', b"[1]", b"no JSON", b"\xff", b'{"a": 1}', b'{"a":1e400}'],
)
def test_what_would_change_on_the_way_goes_as_it_is(payload: bytes) -> None:
    assert as_written(payload) is None
