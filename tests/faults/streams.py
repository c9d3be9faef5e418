"""The broker of a seed: shards that split and merge, or partitions that are added, and events as Lambda writes them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

import msgspec

from local.pace import Pace
from local.stream_batches import Item as Delivered
from local.stream_batches import encoder, payload
from local.streams import Entry, Ground, LoggedStream

STREAM = "rivermill-events"
CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/rivermill/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
BROKER_CLOCKS = (0, -1500, 4000)  # milliseconds by which the clocks of brokers differ
ARN = f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as the broker keeps it: its shard, its place in it from 0, its position in the lake's terms, in ms."""

    shard: str
    place: int
    position: int
    arrived: int
    key: str
    data: bytes


class Broker(Protocol):
    """What a seed needs of a broker; `mixes` says whether a batch may hold several shards."""

    stream: str
    mixes: bool

    def put(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Take records, each with its partition key."""

    def shards(self) -> list[str]:
        """Name all shards there are or were, parents first."""

    def parents(self, shard: str) -> tuple[str, ...]:
        """Name the shards that must be read before one."""

    def is_open(self, shard: str) -> bool:
        """Say whether a shard takes records."""

    def kept(self, shard: str, start: int = 0) -> list[Kept]:
        """Read a shard from a place on."""

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        """Write records of one shard as Lambda hands them over."""

    def reshard(self, chance: Random) -> str:
        """Split or merge shards; say which it was."""


class SeedStream(LoggedStream):
    """A stream of the laptop cloud with a clock of its own."""


class Kinesis:
    """A stream of the laptop cloud, without its server."""

    stream = STREAM
    mixes = False

    def __init__(self, folder: Path, now: Callable[[], float], shards: int) -> None:
        kind = type("SeedStream", (SeedStream,), {"ground": Ground(folder, Pace(1e6), now)})
        self._stream = kind(STREAM, shards, None, 24, "123456789012", "us-east-1")

    def put(self, records: Sequence[tuple[str, bytes]]) -> None:
        taken = self._stream.put([Entry(key, data) for key, data in records])
        assert all(sequence for _, sequence in taken)

    def shards(self) -> list[str]:
        return sorted(self._stream.shards)

    def parents(self, shard: str) -> tuple[str, ...]:
        return tuple(self._stream.shards[shard].parents)

    def is_open(self, shard: str) -> bool:
        return bool(self._stream.shards[shard].is_open)

    def kept(self, shard: str, start: int = 0) -> list[Kept]:
        found = self._stream.shards[shard]
        return [
            Kept(shard, record.number - 1, int(found.sequence(record.number, record.arrived)), *record[1:])
            for record in found.log.read(start + 1, 10_000, 1 << 30)
        ]

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        encode = encoder(records[0].shard, ARN, "arn:aws:iam::123456789012:role/any", "us-east-1")
        items = [
            Delivered(
                each.place,
                str(each.position),
                each.arrived,
                encode(each.key, str(each.position), each.arrived, each.data),
            )
            for each in records
        ]
        found: dict[str, Any] = msgspec.json.decode(payload(items))
        return found

    def reshard(self, chance: Random) -> str:
        now_open = self._stream._open
        if len(now_open) > 1 and chance.random() < 0.5:
            place = chance.randrange(len(now_open) - 1)
            self._stream.merge_shards(now_open[place].shard_id, now_open[place + 1].shard_id)
            return "merge"
        shard = chance.choice(now_open)
        point = chance.randint(shard.starting_hash + 1, shard.ending_hash)
        self._stream.split_shard(shard.shard_id, str(point))
        return "split"


class Kafka:
    """A topic: a key goes to a partition by its hash, partitions are only ever added, each broker has its own clock."""

    stream = STREAM
    mixes = True

    def __init__(self, folder: Path, now: Callable[[], float], shards: int) -> None:
        del folder
        self._now = now
        self._partitions: list[list[Kept]] = [[] for _ in range(shards)]

    def put(self, records: Sequence[tuple[str, bytes]]) -> None:
        for key, data in records:
            number = zlib.crc32(key.encode()) % len(self._partitions)
            kept, shard = self._partitions[number], self.shards()[number]
            arrived = int(self._now() * 1000) + BROKER_CLOCKS[number % len(BROKER_CLOCKS)]
            kept.append(Kept(shard, len(kept), len(kept) + 1, arrived, key, data))

    def shards(self) -> list[str]:
        return [f"partition-{number:03d}-751d2973" for number in range(len(self._partitions))]

    def parents(self, shard: str) -> tuple[str, ...]:
        return ()

    def is_open(self, shard: str) -> bool:
        return True

    def kept(self, shard: str, start: int = 0) -> list[Kept]:
        return self._partitions[self.shards().index(shard)][start:]

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        # AWS Lambda Developer Guide, "Using Lambda with Amazon MSK": the example event.
        groups: dict[str, list[dict[str, Any]]] = {}
        for each in records:
            partition = self.shards().index(each.shard)
            said = {
                "topic": STREAM,
                "partition": partition,
                "offset": each.place,
                "timestamp": each.arrived,
                "timestampType": "LOG_APPEND_TIME",
                "key": base64.b64encode(each.key.encode()).decode(),
                "value": base64.b64encode(each.data).decode(),
                "headers": [],
            }
            groups.setdefault(f"{STREAM}-{partition}", []).append(said)
        head = {"eventSource": "aws:kafka", "eventSourceArn": CLUSTER, "bootstrapServers": "b-1:9098"}
        return {**head, "records": groups}

    def reshard(self, chance: Random) -> str:
        del chance
        self._partitions.append([])
        return "partition added"
