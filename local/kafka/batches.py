"""Write records of Kafka topics as the event that Lambda hands over, and read which of them a function calls failed.

Source: AWS Lambda Developer Guide, "Using Lambda with Amazon MSK" and its pages on batching and error handling.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message

from local.giving_up import iso
from local.stream_batches import Item, Rules

DEFAULT_WINDOW_SECONDS = 0.5
RETRIES_BEFORE_A_DESTINATION = 10
"""With a destination for failures, retries without end are these many ("Configuring error handling controls")."""


class Record(NamedTuple):
    """One record on its way to a function: where it stands, when it came (ms), its JSON."""

    topic: str
    partition: int
    offset: int
    arrived: int
    encoded: bytes

    @property
    def place(self) -> str:
        """Topic and partition, as the event names them."""
        return f"{self.topic}-{self.partition}"

    @property
    def item(self) -> Item:
        """The record as an item of a batch, known again by `position`."""
        return Item(self.offset, position(self.place, self.offset), self.arrived, self.encoded)


def position(place: str, offset: int) -> str:
    """Name a record of a batch."""
    return f"{place}:{offset}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an event says beside its records."""

    cluster_arn: str
    bootstrap: str

    def event(self, items: Iterable[Item]) -> bytes:
        """Return the event of a batch, grouped by topic and partition, in order."""
        groups: dict[str, list[bytes]] = {}
        for item in items:
            groups.setdefault(item.sequence.rpartition(":")[0], []).append(item.encoded)
        records = b",".join(
            b"%b:[%b]" % (json.dumps(place).encode(), b",".join(found)) for place, found in groups.items()
        )
        head = {"eventSource": "aws:kafka", "eventSourceArn": self.cluster_arn, "bootstrapServers": self.bootstrap}
        return b'%b,"records":{%b}}' % (json.dumps(head).encode()[:-1], records)


def record(message: Message) -> Record:
    """Read a message of the client."""
    kind, moment = message.timestamp()
    topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
    headers: Any = message.headers() or ()
    said: dict[str, Any] = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": moment,
        "timestampType": "LOG_APPEND_TIME" if kind == TIMESTAMP_LOG_APPEND_TIME else "CREATE_TIME",
        **{name: _text(content) for name, content in _contents(message).items() if content is not None},
        "headers": [{name: list(_bytes(value))} for name, value in headers],
    }
    return Record(topic, partition, offset, moment, json.dumps(said, separators=(",", ":")).encode())


def rules(mapping: Any) -> Rules:
    """Read a mapping's settings, with the defaults that Kafka's have."""
    found = Rules.of(mapping)
    endless = found.retries < 0 and found.on_failure is not None
    return dataclasses.replace(
        found,
        window_seconds=DEFAULT_WINDOW_SECONDS if mapping.max_batch_window is None else found.window_seconds,
        retries=RETRIES_BEFORE_A_DESTINATION if endless else found.retries,
    )


def failures(items: Sequence[Item], answer: bytes) -> list[Item]:
    """Return the records that a partial batch response calls failed.

    An answer that is not of the documented form, or names no record of the batch, fails the whole batch.
    """
    try:
        named = [failure["itemIdentifier"] for failure in (json.loads(answer) or {}).get("batchItemFailures") or []]
        wanted = {position(each["partition"], int(each["offset"])) for each in named}
    except (ValueError, AttributeError, KeyError, TypeError):
        return list(items)
    failed = [item for item in items if item.sequence in wanted]
    return failed if len(failed) == len(wanted) else list(items)


def information(items: Iterable[Item]) -> Mapping[str, Mapping[str, str]]:
    """Say for each partition where a batch begins and ends there ("Capturing discarded batches")."""
    places: dict[str, list[Item]] = {}
    for item in items:
        places.setdefault(item.sequence.rpartition(":")[0], []).append(item)
    return {
        place: {
            "firstRecordOffset": str(found[0].number),
            "lastRecordOffset": str(found[-1].number),
            "firstRecordTimestamp": iso(found[0].arrived),
            "lastRecordTimestamp": iso(found[-1].arrived),
        }
        for place, found in places.items()
    }


def reached(items: Iterable[Item]) -> dict[tuple[str, int], int]:
    """Return the offset to commit for each topic and partition once a batch is handled: the one after its last."""
    ends: dict[tuple[str, int], int] = {}
    for place, found in itertools.groupby(items, lambda item: item.sequence.rpartition(":")[0]):
        topic, _, partition = place.rpartition("-")
        last = max(item.number for item in found) + 1
        ends[topic, int(partition)] = max(last, ends.get((topic, int(partition)), 0))
    return ends


def _contents(message: Message) -> dict[str, bytes | None]:
    return {"key": _optional(message.key()), "value": _optional(message.value())}


def _optional(content: str | bytes | None) -> bytes | None:
    return None if content is None else _bytes(content)


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def _text(content: bytes | None) -> str:
    return b2a_base64(content or b"", newline=False).decode()
