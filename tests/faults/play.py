"""Play one seed: producers, lanes of the mapping, consumers, committers and the curate job, all in one order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from botocore.exceptions import ReadTimeoutError

from clients.send import send
from domain.tables import QUARANTINE, RAW, UNDECLARED
from local.stream_batches import Item, Part, Rules, after_failure
from tests.faults.curating import Curator
from tests.faults.memory import error
from tests.faults.sending import Producer
from tests.faults.sky import Clock, Process, Sky
from tests.faults.streams import STREAM, Broker, Kafka, Kept, Kinesis
from tests.faults.strikes import RATES, Strikes
from tests.faults.turns import Actor, Killed, Turns

RULES = Rules(retries=-1, bisect=True)
BROKERS = ("kinesis", "kafka")


@dataclass(slots=True)
class Manners:
    """How often what is no fault of a call happens in a seed."""

    throttle: float
    duplicate: float
    timeout: float
    repoll: float
    reshards: int
    largest_batch: int
    skew: timedelta
    receipts_at_once: int
    curations: int

    @classmethod
    def of(cls, chance: Random) -> Manners:
        rates = (0.0, *RATES)
        return cls(
            throttle=chance.choice(rates),
            duplicate=chance.choice((0.0, 0.1, 0.4)),
            timeout=chance.choice((0.0, 0.1, 0.3)),
            repoll=chance.choice((0.0, 0.3, 0.8)),
            reshards=chance.choice((0, 1, 2, 3)),
            largest_batch=chance.choice((2, 5, 20)),
            skew=timedelta(hours=chance.choice((0, 0, 1, 26))),
            receipts_at_once=chance.choice((2, 5, 300)),
            curations=chance.choice((1, 2, 3)),
        )


@dataclass
class Play:
    """One seed on one broker, from the first record sent to the last row curated."""

    seed: int
    broker_name: str = "kinesis"
    strikes: Strikes | None = None
    sky: Sky | None = None
    records: int = 0
    clock: Clock = field(default_factory=Clock)
    made: Broker | None = None
    chance: Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.seed} {self.broker_name}")
        self.manners = Manners.of(self.chance)
        self.struck = self.strikes or Strikes.of(Random(self.chance.random()))
        self.turns = Turns(Random(self.chance.random()))
        self.producer = Producer(Random(self.chance.random()))
        self.processes: list[Process] = []
        self.sending = True
        self.places: dict[str, int] = {}
        self.mixes = self.broker_name == "kafka"
        self.done: set[str] = set()

    @contextmanager
    def played(self) -> Iterator[Play]:
        """Play the seed and leave what came of it to be looked at."""
        folder = Path(tempfile.mkdtemp(prefix="seed-"))
        sky = self.sky = self.sky or Sky(self.turns, self.struck, self.clock)
        kind = Kinesis if self.broker_name == "kinesis" else Kafka
        self.broker: Broker = self.made or kind(folder, self.clock.seconds, self.chance.choice((1, 1, 2, 3)))
        tables = [RAW[event.name] for event in self.producer.kinds]
        self.tables = [*tables, UNDECLARED, QUARANTINE]
        self.curator = Curator(sky, tables)
        try:
            with sky.hosted(self.manners.receipts_at_once):
                sky.create(self.tables)
                for name, work in self.actors().items():
                    self.turns.start(name, work)
                self.turns.direct()
                self.curator.curate()
                yield self
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def actors(self) -> dict[str, Callable[[], None]]:
        """Name who works from the start."""
        return {
            "producer": self.produce,
            "reshard": self.reshard,
            "mapping": self.map,
            "commit": self.commit,
            "curate": self.curate,
        }

    def produce(self) -> None:
        """Send chunk after chunk; a producer that dies sends its last chunk again."""
        left = self.records or self.chance.randint(15, 60)
        while left > 0:
            size = min(left, self.chance.randint(1, 12))
            chunk = list(self.producer.records(size, self.clock.moment))
            while not self.sent(chunk):
                self.struck.note("producer dies")
            left -= size
            self.clock.pass_by(self.chance.choice((1, 60, 4 * 3600)))
        self.sending = False

    def sent(self, chunk: Sequence[tuple[str, bytes]]) -> bool:
        """Send a chunk; tell whether the producer lived to its end."""
        part = chunk
        if self.chance.random() < self.manners.timeout / 2:
            part = chunk[: self.chance.randrange(len(chunk))]
        send(part, STREAM, client=Puts(self), tries=1000, sleep=self.clock.pass_by, seed=self.seed)
        return len(part) == len(chunk)

    def reshard(self) -> None:
        """Split and merge shards in the middle."""
        for _ in range(self.manners.reshards):
            for _ in range(self.chance.randint(5, 60)):
                self.turns.step("waits to reshard")
            self.struck.note(self.broker.reshard(self.chance))

    def map(self) -> None:
        """Read each shard once its parents are done: Kinesis by a lane of its own, Kafka by pollers that share them."""
        pollers: dict[str, list[str]] = (
            {f"poller {number}": [] for number in range(self.chance.choice((1, 2)))} if self.mixes else {}
        )
        lanes = dict(pollers)
        started: set[str] = set()
        while self.sending or self.done != set(self.broker.shards()):
            for shard in self.next_shards(started):
                started.add(shard)
                name = self.chance.choice(list(pollers)) if pollers else f"lane {shard}"
                owned = lanes.setdefault(name, [])
                owned.append(shard)
                if len(owned) == 1:
                    self.turns.start(name, lambda owned=owned: self.lane(owned))  # type: ignore[misc]
            self.turns.step("looks for shards", lambda: bool(self.next_shards(started)) or self.all_done())
            if self.all_done():
                break

    def next_shards(self, started: set[str]) -> list[str]:
        """List the shards that may be read now and are not."""
        return [
            shard
            for shard in self.broker.shards()
            if shard not in started and self.done.issuperset(self.broker.parents(shard))
        ]

    def all_done(self) -> bool:
        """Say whether everything was read, and nothing more can come."""
        return not self.live() and self.done == set(self.broker.shards())

    def live(self) -> bool:
        """Say whether records or shards may still come."""
        return self.sending or any(actor.name == "reshard" for actor in self.turns.actors)

    def ends(self, shard: str) -> bool:
        """Say whether a shard was read to its end."""
        closed = not self.broker.is_open(shard) or not self.live()
        return closed and not self.broker.kept(shard, self.places.get(shard, 0))

    def lane(self, shards: list[str]) -> None:
        """Deliver shards, batch by batch, each until it is handled; one that failed may be cut elsewhere."""
        while not self.over(shards):
            self.turns.step("polls", lambda: bool(self.waiting(shards)) or self.news_of_an_end(shards))
            self.done.update(shard for shard in shards if self.ends(shard))
            if found := self.waiting(shards):
                self.settle(
                    [each for some in found for each in some[: self.chance.randint(1, self.manners.largest_batch)]]
                )

    def waiting(self, shards: list[str]) -> list[list[Kept]]:
        """Read what each shard has that was not handled."""
        return [found for shard in shards if (found := self.broker.kept(shard, self.places.get(shard, 0)))]

    def news_of_an_end(self, shards: list[str]) -> bool:
        """Say whether a shard has ended since the last look, or all have."""
        return self.over(shards) or any(self.ends(shard) and shard not in self.done for shard in shards)

    def over(self, shards: list[str]) -> bool:
        """Say whether a lane has nothing left to do; one of Kafka's may still be given a partition."""
        return self.all_done() if self.mixes else self.done.issuperset(shards)

    def settle(self, records: Sequence[Kept]) -> None:
        """Deliver until all is handled, or until the batch is cut anew."""
        known = {(each.shard, each.place): each for each in records}
        parts = [Part([Item(each.place, each.shard, each.arrived, b"") for each in records])]
        while parts:
            part = parts.pop(0)
            batch = [known[item.sequence, item.number] for item in part.items]
            if self.delivered(batch):
                self.places.update({each.shard: each.place + 1 for each in batch})
                continue
            self.struck.note("delivery fails")
            if self.chance.random() < self.manners.repoll:
                self.struck.note("batch cut anew")
                return
            parts = [*after_failure(part, 0, RULES), *parts]

    def delivered(self, batch: Sequence[Kept]) -> bool:
        """Deliver a batch, perhaps to two processes at once; a delivery that takes too long counts as failed."""
        if self.chance.random() < self.manners.duplicate:
            self.struck.note("second writer")
            self.invoke(self.overlapping(batch))
        run = self.invoke(batch)
        patience = self.chance.randint(1, 12) if self.chance.random() < self.manners.timeout else None
        while not run.ended:
            if patience == 0:
                self.struck.note("timeout, the writer lives on")
                return False
            patience = None if patience is None else patience - 1
            self.turns.step("waits", (lambda: run.ended) if patience is None else (lambda: True))
        return run.succeeded

    def overlapping(self, batch: Sequence[Kept]) -> list[Kept]:
        """Cut another batch that begins no later in any shard: nobody is handed a record before those ahead of it."""
        first = {each.shard: each.place for each in reversed(batch)}
        found: list[Kept] = []
        for shard, place in first.items():
            kept, start = self.broker.kept(shard), max(0, place - self.chance.choice((0, 0, 3)))
            found += kept[start : self.chance.randint(start + 1, len(kept))]
        return found

    def invoke(self, records: Sequence[Kept]) -> Invocation:
        """Start an invocation in a warm process, or in a new one."""
        idle = [process for process in self.processes if not process.busy]
        if idle and self.chance.random() < 0.8:
            process = self.chance.choice(idle)
        else:
            process = Process(self.manners.skew * self.chance.uniform(-1, 1))
            self.processes.append(process)
        process.busy = True
        invocation = Invocation(self, process, self.broker.event(records))
        invocation.actor = self.turns.start(f"consume {records[0].shard}", invocation.run)
        return invocation

    def commit(self) -> None:
        """Commit now and then, at times twice at once; at the end until nothing is left."""
        while any(
            actor.name.startswith(("lane", "poller", "mapping", "consume", "producer")) for actor in self.turns.actors
        ):
            for _ in range(self.chance.randint(10, 80)):
                self.turns.step("waits to commit")
            if self.chance.random() < 2 * self.manners.duplicate:
                self.struck.note("second committer")
                self.turns.start("commit again", self.commit_once)
            self.commit_once()
        self.turns.step("last writers", lambda: not any(a.name.startswith("commit ") for a in self.turns.actors))
        self.struck.most = 0
        self.struck.nth = None
        while self.sky and self.sky.commit()["more"]:
            pass
        assert self.sky and not self.sky.commit()["committed"]

    def commit_once(self) -> None:
        """Invoke the committer, which may fail."""
        assert self.sky
        try:
            self.sky.commit()
        except Killed:
            self.struck.note("committer dies")
        except Exception as failure:  # whatever it is, the next minute tries again; but it must be a fault asked for
            if not asked_for(failure):
                raise

    def curate(self) -> None:
        """Curate in the middle."""
        for _ in range(self.manners.curations - 1):
            for _ in range(self.chance.randint(20, 150)):
                self.turns.step("waits to curate")
            self.curator.curate()


def asked_for(failure: BaseException) -> bool:
    """Tell a fault of ours, or a conflict with another committer, from a bug."""
    text = f"{type(failure).__name__}: {failure}"
    return any(said in text for said in ("asked for", "ReadTimeoutError", "CommitFailed", "PositionMoved"))


@dataclass
class Invocation:
    """One delivery of a batch to one process."""

    play: Play
    process: Process
    event: dict[str, Any]
    actor: Actor | None = None
    succeeded: bool = False
    ended: bool = False

    def run(self) -> None:
        """Handle the batch; a process that dies takes along what it remembers."""
        assert self.play.sky
        try:
            answer = self.play.sky.consume(self.process, self.event)
            self.succeeded = not (answer or {}).get("batchItemFailures")
        except Killed:
            self.play.processes.remove(self.process)
        except Exception as failure:
            if not asked_for(failure):
                raise
        finally:
            self.process.busy = False
            self.ended = True


@dataclass(slots=True)
class Puts:
    """A broker's client as a producer sees it: throttled, failing in part, losing answers."""

    play: Play

    def put_records(self, *, StreamName: str, Records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        play, rate = self.play, self.play.manners.throttle
        play.turns.step("puts records")
        play.clock.pass_by(0.01)
        if play.chance.random() < rate:
            play.struck.note("put throttled")
            raise error("ProvisionedThroughputExceededException", "PutRecords")
        failed = [play.chance.random() < rate for _ in Records]
        play.struck.struck["record throttled"] += sum(failed)
        taken = [(each["PartitionKey"], each["Data"]) for each, no in zip(Records, failed, strict=True) if not no]
        play.broker.put(taken)
        if play.chance.random() < rate:
            play.struck.note("put loses its answer")
            raise ReadTimeoutError(endpoint_url="kinesis")
        outcome = {True: {"ErrorCode": "ProvisionedThroughputExceededException"}, False: {"SequenceNumber": "1"}}
        return {"Records": [outcome[no] for no in failed]}
