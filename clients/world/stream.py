"""Send events as producers do: late ones late, some twice, some broken; and keep account of every record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from clients.world.faults import FAULTS, Fault
from clients.world.nature import DAY, MINUTE, Nature
from clients.world.purchase import Ints

LATE = MINUTE  # a record sent longer than this after its event counts as late
REWRITTEN = 0.3  # of the duplicates, those whose producer writes the JSON anew, with other white space

SENT = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("sent_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("event_id", pa.string()),
        pa.field("event", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("ms", tz="UTC")),
        pa.field("valid", pa.bool_(), nullable=False),
        pa.field("duplicate", pa.bool_(), nullable=False),
        pa.field("late", pa.bool_(), nullable=False),
        pa.field("fault", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
"""What is said of each record sent.  A broken one has a fault and the reason for which it must be
set aside, but no event_id and no event_time; `event` and `user_id` are
those of the event that it was made from (`user_id` is its partition key).  `sent_at` is in the world's own time.
"""


class Sending(NamedTuple):
    """One record on its way: when it goes (ms), its partition key, its bytes, and what `SENT` says of it."""

    at: int
    key: str
    payload: bytes
    event_id: str | None
    event: str
    event_time: int | None
    duplicate: bool = False
    fault: Fault | None = None


class Batch(NamedTuple):
    """Records in sending order as (partition key, bytes), and a row of `SENT` for each of them."""

    records: list[tuple[str, bytes]]
    sent: pa.Table


def send_times(random: np.random.Generator, times: Ints, nature: Nature) -> Ints:
    """Draw when each event is sent, in ms: seconds, minutes or days after it happened."""
    count = times.size
    usual = random.exponential(1_500.0, count)
    minutes = random.uniform(*nature.late_minutes, count) * MINUTE
    days = random.uniform(*nature.very_late_days, count) * DAY
    chance = random.random(count)
    late = chance < nature.very_late + nature.late
    return times + np.where(chance < nature.very_late, days, np.where(late, minutes, usual)).astype(np.int64)


def resend(random: np.random.Generator, chosen: list[Sending]) -> Iterator[Sending]:
    """Send records again after a while: most byte for byte, some written anew by their producer."""
    waits = random.lognormal(np.log(20_000.0), 2.0, len(chosen)).clip(1, DAY).astype(np.int64).tolist()
    rewritten = (random.random(len(chosen)) < REWRITTEN).tolist()
    for first, wait, anew in zip(chosen, waits, rewritten, strict=True):
        payload = msgspec.json.format(first.payload, indent=1) if anew else first.payload
        yield first._replace(at=first.at + wait, payload=payload, duplicate=True)


def spoil(random: np.random.Generator, chosen: list[Sending]) -> Iterator[Sending]:
    """Make a broken record from each of some good ones, which stay as they are."""
    kinds = random.integers(0, len(FAULTS), len(chosen)).tolist()
    for number, (source, kind) in enumerate(zip(chosen, kinds, strict=True)):
        event: dict[str, Any] = msgspec.json.decode(source.payload)
        payload = FAULTS[kind].spoil({**event, "event_id": f"{event['event_id'][:-12]}{number:012x}"})
        yield source._replace(payload=payload, event_id=None, event_time=None, fault=FAULTS[kind])


def batch(sendings: list[Sending], position: int) -> Batch:
    """Make a batch whose first record is the `position`th of the world."""
    return Batch([(sending.key, sending.payload) for sending in sendings], _account(sendings, position))


def _account(sendings: list[Sending], position: int) -> pa.Table:
    late = [
        item.event_time is not None and not item.duplicate and item.at - item.event_time > LATE for item in sendings
    ]
    columns = [
        range(position, position + len(sendings)),
        [item.at for item in sendings],
        [item.event_id for item in sendings],
        [item.event for item in sendings],
        [item.key for item in sendings],
        [item.event_time for item in sendings],
        [item.fault is None for item in sendings],
        [item.duplicate for item in sendings],
        late,
        [item.fault and item.fault.name for item in sendings],
        [item.fault and item.fault.reason.value for item in sendings],
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SENT, strict=True)], schema=SENT)
