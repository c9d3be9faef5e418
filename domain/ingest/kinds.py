"""Take records apart into events: by its first bytes a record is JSON, lines of it, a KPL aggregate or a frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter

import msgspec

from domain.ingest import frames, kpl
from domain.ingest.contract import BrokenContract, Reason
from domain.ingest.limits import LARGEST_BATCH, LARGEST_RECORD, MOST_EVENTS

PACKED = (kpl.MAGIC[:1], frames.MAGIC[:1])
FIRST_BYTE = itemgetter(slice(1))
LEAST_LINES = 2


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """A record as the broker handed it over; `written` is its position as text, if the broker said it so."""

    sequence: int
    arrived_at: datetime
    payload: bytes
    written: str = ""


class Events(msgspec.Struct):
    """What records held, each event numbered in the order in which it came.

    `payloads` are events in JSON, `numbers` their numbers and `owners` the record of each; `tables` are columnar frames
    and `faults` records that are set aside whole, each with its record and the number of its first event; `size` is
    what all of them take, and `whole` the payloads in one piece, if each is a record.
    """

    payloads: list[bytes] = msgspec.field(default_factory=list)
    numbers: list[int] = msgspec.field(default_factory=list)
    owners: list[int] = msgspec.field(default_factory=list)
    tables: list[tuple[int, int, frames.Frame]] = msgspec.field(default_factory=list)
    faults: list[tuple[int, int, BrokenContract]] = msgspec.field(default_factory=list)
    packed: dict[int, int] = msgspec.field(default_factory=dict)
    total: int = 0
    unreadable: int = 0
    size: int = 0
    whole: bytes = b""

    @property
    def received(self) -> int:
        """Count the events, where a record that cannot be read is one."""
        return self.total - self.unreadable

    def add(self, owner: int, payloads: Sequence[bytes]) -> None:
        """Add the events of one record."""
        self.payloads += payloads
        self.numbers += range(self.total, self.total + len(payloads))
        self.owners += [owner] * len(payloads)
        self.packed[owner] = self.total
        self.total += len(payloads)
        self.size += sum(map(len, payloads))

    def unread(self, count: int, owner: int) -> None:
        """Count a frame of so many events, whose columns cannot be read, as one: it is set aside whole."""
        self.unreadable += count - 1
        del self.packed[owner]

    def place(self, owner: int, number: int) -> int | None:
        """Say which event of its record one is, from 1; None if the record is the event."""
        first = self.packed.get(owner)
        return None if first is None else number - first + 1


def events_of(records: Sequence[Arrived]) -> Events:
    """Take all records apart; a record of one event stays as it is."""
    if (plain := one_each(records)) is not None:
        return plain
    events = Events()
    for owner, record in enumerate(records):
        add(events, owner, record.payload)
    return events


def one_each(records: Sequence[Arrived]) -> Events | None:
    """Take records for one event each, if surely none holds more; None if one may."""
    payloads = [record.payload for record in records]
    if not set(map(FIRST_BYTE, payloads)).isdisjoint(PACKED):
        return None
    whole = b"".join(payloads)
    if b"\n" in whole:
        return None
    everyone = list(range(len(payloads)))
    return Events(payloads, everyone, everyone, total=len(payloads), size=len(whole), whole=whole)


def slices(records: Sequence[Arrived]) -> Iterator[tuple[Sequence[Arrived], Events]]:
    """Take records apart, as many at a time as may be in memory at once: a few bytes may unpack to many.

    A slice ends with the record that reaches a limit, so it is beyond it by one record at most.
    """
    if (plain := one_each(records)) is not None and plain.size < LARGEST_BATCH and plain.total < MOST_EVENTS:
        yield records, plain
        return
    start, events = 0, Events()
    for number, record in enumerate(records, start=1):
        add(events, number - 1 - start, record.payload)
        if number < len(records) and (events.size >= LARGEST_BATCH or events.total >= MOST_EVENTS):
            yield records[start:number], events
            start, events = number, Events()
    yield records[start:], events


def count(records: Iterable[Arrived]) -> int:
    r"""Count the events that records hold; what cannot be taken apart counts as one.

    >>> from datetime import timezone
    >>> now = datetime.now(timezone.utc)
    >>> count([Arrived(1, now, b'{}'), Arrived(2, now, b'{"event":1}\n{}')])
    3
    """
    return sum(events.total for _, events in slices(list(records)))


def may_hold_more(payload: bytes) -> bool:
    """Tell quickly whether a record may be more than one JSON text."""
    return b"\n" in payload or payload[:1] in PACKED


def add(events: Events, owner: int, payload: bytes) -> None:
    """Add the events of one record, whatever it is."""
    if may_hold_more(payload):
        take_apart(events, owner, payload)
    else:
        one(events, owner, payload)


def take_apart(events: Events, owner: int, payload: bytes) -> None:
    """Take one record apart that may hold more than one event."""
    try:
        if len(payload) > LARGEST_RECORD:
            raise BrokenContract(
                Reason.TOO_LARGE, f"the record has {len(payload):,} bytes; send at most {LARGEST_RECORD:,}"
            )
        if kpl.is_aggregate(payload):
            events.add(owner, some(kpl.deaggregate(payload)))
        elif frames.is_frame(payload):
            take_frame(events, owner, frames.unpack(payload))
        elif (found := lines(payload)) is not None:
            events.add(owner, few_enough(found))
        else:
            one(events, owner, payload)
    except BrokenContract as fault:
        set_aside(events, owner, fault)
    except kpl.BadAggregate as error:
        set_aside(events, owner, BrokenContract(Reason.BAD_AGGREGATE, str(error)))
    except frames.BadFrame as error:
        set_aside(events, owner, BrokenContract(Reason.BAD_FRAME, error.detail, value=error.reason.value))


def some(payloads: list[bytes]) -> list[bytes]:
    """Pass on an aggregate's records; one without any would leave no trace in the account."""
    if not payloads:
        raise kpl.BadAggregate("the aggregate holds no record; send one or more")
    return payloads


def few_enough(payloads: list[bytes]) -> list[bytes]:
    """Pass on a record's lines unless they are so many that hardly one can be an event."""
    if len(payloads) > MOST_EVENTS:
        raise BrokenContract(Reason.TOO_LARGE, f"the record has {len(payloads):,} lines; send at most {MOST_EVENTS:,}")
    return payloads


def take_frame(events: Events, owner: int, frame: frames.Frame) -> None:
    """Take a frame apart: lines of JSON now, columns later."""
    if frame.kind == "ndjson":
        events.add(owner, frame.payload.removesuffix(b"\n").split(b"\n"))
    else:
        events.tables.append((owner, events.total, frame))
        events.packed[owner] = events.total
        events.total += frame.count
        events.size += len(frame.payload)


def one(events: Events, owner: int, payload: bytes) -> None:
    """Keep a record as one event."""
    events.payloads.append(payload)
    events.numbers.append(events.total)
    events.owners.append(owner)
    events.total += 1
    events.size += len(payload)


def set_aside(events: Events, owner: int, fault: BrokenContract) -> None:
    """Set a record aside whole; it counts as one event."""
    events.faults.append((owner, events.total, fault))
    events.total += 1


def lines(payload: bytes) -> list[bytes] | None:
    r"""Return a record's lines if it is newline-delimited JSON, None if it is one JSON text or no JSON at all.

    It is if one of its lines is an event, and the whole is no JSON text: none has `}`, a line feed and `{` in a row.

    >>> lines(b'{"event":1}\n{"event":2}\n'), lines(b'{\n"a":[\n{}\n]}')
    ([b'{"event":1}', b'{"event":2}'], None)
    """
    found = [line for line in payload.split(b"\n") if line.strip()]
    if len(found) < LEAST_LINES or not any(map(is_event, found)):
        return None
    return found if b"}\n{" in payload or not is_json(payload) else None


def is_json(payload: bytes) -> bool:
    """Tell whether a record is one JSON text; its digits may be more than Python reads, which are 4,300."""
    try:
        json.loads(payload, parse_int=float)
    except (ValueError, RecursionError):
        return False
    return True


def is_event(line: bytes) -> bool:
    """Tell whether a line is a JSON object that names an event."""
    try:
        document = json.loads(line, parse_int=float)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "event" in document
