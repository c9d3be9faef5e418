"""Seeds over a real Kafka broker, and over the laptop cloud's own S3 and Glue."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from random import Random
from typing import Any

from local.cloud import Cloud
from tests import brokers
from tests.faults.play import Play
from tests.faults.sky import BUCKET, Sky, WallClock
from tests.faults.streams import Kept


class Topic:
    """A topic of a real broker; records are read back through its own client."""

    mixes = True

    def __init__(self, bootstrap: str, name: str, partitions: int) -> None:
        self.stream = name
        self._topic = brokers.KafkaTopic(bootstrap, name, partitions)
        self._kept: dict[str, list[Kept]] = {shard: [] for shard in self._topic.shards()}
        self._read: dict[tuple[str, int], brokers.Kept] = {}

    def put(self, records: Sequence[tuple[str, bytes]]) -> None:
        self._topic.put([brokers.Sent(key, data) for key, data in records])
        for shard, kept in self._kept.items():
            for found in self._topic.read(shard, after=len(kept)):
                said = json.loads(found.item.encoded)
                key, data = base64.b64decode(said["key"]).decode(), base64.b64decode(said["value"])
                kept.append(Kept(shard, len(kept), found.sequence, found.item.arrived, key, data))
                self._read[shard, found.sequence] = found

    def shards(self) -> list[str]:
        return list(self._kept)

    def parents(self, shard: str) -> tuple[str, ...]:
        return ()

    def is_open(self, shard: str) -> bool:
        return True

    def kept(self, shard: str, start: int = 0) -> list[Kept]:
        return self._kept[shard][start:]

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        return self._topic.event([self._read[each.shard, each.position] for each in records])

    def reshard(self, chance: Random) -> str:
        self._topic.grow()
        self._kept.update({shard: [] for shard in self._topic.shards() if shard not in self._kept})
        return "partition added"


def over_kafka(seed: int, bootstrap: str, name: str) -> Play:
    """Prepare a seed over a real broker, by its clock."""
    return Play(
        seed,
        "kafka",
        clock=WallClock(datetime.now(timezone.utc)),
        made=Topic(bootstrap, name, Random(seed).choice((1, 2, 3))),
    )


@contextmanager
def over_the_laptop(seed: int, broker: str, cloud: Cloud, records: int) -> Iterator[Play]:
    """Prepare a seed over the laptop cloud's S3 and Glue, whose state is the process's: it is put away afterwards."""
    s3, glue = cloud.client("s3"), cloud.client("glue")
    if any(found["Name"] == "raw" for found in glue.get_databases()["DatabaseList"]):
        glue.delete_database(Name="raw")
    glue.create_database(DatabaseInput={"Name": "raw"})
    s3.create_bucket(Bucket=BUCKET)
    play = Play(seed, broker, records=records)
    play.sky = Sky(play.turns, play.struck, play.clock, s3, glue)
    try:
        yield play
    finally:
        glue.delete_database(Name="raw")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for item in page.get("Contents", ()):
                s3.delete_object(Bucket=BUCKET, Key=item["Key"])
        s3.delete_bucket(Bucket=BUCKET)
