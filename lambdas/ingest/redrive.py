"""Send again what was set aside and is good by today's contract, and batches that were given up; each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from pyiceberg.catalog import Catalog

from domain.ingest import asked
from domain.ingest.asked import Refused, Window
from domain.ingest.batch import SEQUENCE_DIGITS
from domain.ingest.bridge import Bridge, connect
from domain.ingest.redrive import ANY, FAILED_BATCH, REASONS, Aside, Key, Verdict, judge
from domain.privacy.keyring import SEALED_BYTES
from domain.tables import QUARANTINE, REDRIVEN
from lambdas.catalogue import open_catalogue
from lambdas.ingest import rows
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.given_up import GivenUp, Queue, rescue
from lambdas.ingest.settings import RedriveSettings

if TYPE_CHECKING:
    from lambdas.keys import Warm
from lambdas.ingest.stream import Broker, Kafka, Kinesis

FIELDS = ("reason", "from", "to", "send")
MARGIN_MS = 60_000
"""A round begins only with more time than this left."""

ROUND = 2_000
"""Events that are sent before the ledger is written: as many may be sent twice if the function dies in between."""

ASIDE_COLUMNS = ("reason", "event", "payload", "arrived_at", "shard", "sequence")
KEY_COLUMNS = ("shard", "sequence", "digest")

settings = cache(RedriveSettings.read)
client = cache(boto3.client)
catalog = cache(open_catalogue)


class Context(Protocol):
    """What Lambda tells a function about its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Say how much time is left."""


@dataclass(slots=True)
class Told:
    """What came of a redrive, by the reason for which things had been set aside."""

    good: Counter[str] = field(default_factory=Counter)
    still_bad: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    more: bool = False

    def report(self) -> dict[str, Any]:
        """Say it in JSON."""
        return {
            "good": dict(self.good),
            "still_bad": dict(self.still_bad),
            "redriven_before": dict(self.known),
            "sent": dict(self.sent),
            "failed": self.failed,
            "lost": self.lost,
            "more": self.more,
        }


@dataclass(slots=True)
class Redrive:
    """One request, carried out: where things are, whether to send, and what came of it so far."""

    bucket: Bucket
    catalog: Catalog
    broker: Broker
    send: bool
    told: Told = field(default_factory=Told)

    def quarantined(self, reason: str, window: Window, context: Context) -> None:
        """Redrive the quarantine, arrival day by arrival day, as its ledger is kept."""
        for day in days(self.catalog, reason, window):
            known = ledger(self.catalog, day)
            for some in rounds(self.waiting(reason, day)):
                if context.get_remaining_time_in_millis() < MARGIN_MS:
                    self.told.more = True
                    return
                self.settle([aside for aside in some if self.fresh(aside, known)], judged=True)

    def given_up(self, queue: Queue, context: Context) -> None:
        """Redrive the batches in the queue; a message goes once all that it names is sent and noted."""
        left = []
        for batch in queue.batches():
            if context.get_remaining_time_in_millis() < MARGIN_MS:
                self.told.more = True
                left.append(batch)
                break
            if self.batch(batch) and self.send:
                queue.done(batch)
            else:
                left.append(batch)
        for batch in left:  # only now: a batch shown again at once would be read again at once
            queue.show_again(batch)

    def batch(self, batch: GivenUp) -> bool:
        """Redrive one batch; tell whether nothing of it is left."""
        asides, lost = rescue(self.bucket, self.broker, batch)
        self.told.lost += lost
        failed = self.told.failed
        for some in rounds(asides):
            known = {key for day in arrival_days(some) for key in ledger(self.catalog, day)}
            self.settle([aside for aside in some if self.fresh(aside, known)], judged=False)
        return not lost and self.told.failed == failed

    def waiting(self, reason: str, day: Window) -> Iterator[Aside]:
        """Read what a day's quarantine holds for a reason."""
        equal = {} if reason == ANY else {"reason": reason}
        for row in rows.read(self.catalog, QUARANTINE, rows.within(day, **equal), ASIDE_COLUMNS):
            yield Aside(**row | {"payload": in_clear(row["payload"])})

    def fresh(self, aside: Aside, known: set[Key]) -> bool:
        """Tell whether an event was not redriven yet, and count it if it was; from now on it counts as redriven."""
        if aside.key in known:
            self.told.known[aside.reason] += 1
            return False
        known.add(aside.key)  # a record may hold the same bytes twice
        return True

    def settle(self, fresh: Sequence[Aside], *, judged: bool) -> None:
        """Judge, send what is good, and note what the stream took."""
        verdicts = judge(fresh) if judged else [Verdict(aside, None) for aside in fresh]
        good = [verdict.aside for verdict in verdicts if verdict.good]
        self.told.good.update(aside.reason for aside in good)
        self.told.still_bad.update(verdict.aside.reason for verdict in verdicts if not verdict.good)
        if self.send and good:
            self.resend(good)

    def resend(self, good: Sequence[Aside]) -> None:
        """Send events, then note those that were taken: the ledger never names one that was not."""
        now = datetime.now(timezone.utc)
        taken = self.broker.send([(aside.partition_key, aside.payload) for aside in good])
        noted = [
            (aside, note(aside, now, place.shard, place.sequence))
            for aside, place in zip(good, taken, strict=True)
            if place is not None
        ]
        for day in arrival_days([aside for aside, _ in noted]):
            of_day = [row for aside, row in noted if day_of(aside.arrived_at) == day]
            rows.append(self.catalog, self.bucket, REDRIVEN, of_day)
        self.told.sent.update(aside.reason for aside, _ in noted)
        self.told.failed += len(good) - len(noted)


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Redrive by reason and time; without {"send": true} only tell what would be sent."""
    try:
        asked.only(event, FIELDS)
        reason, window = asked.choice(event, "reason", REASONS), Window.read(event)
        send = asked.switch(event, "send")
        if reason == FAILED_BATCH and (window.start or window.end):
            raise Refused("from", event.get("from"), "failed batches are redriven all together: leave from and to out")
    except Refused as refused:
        return refused.report()
    bucket = Bucket(client("s3"), settings().bucket)
    redrive = Redrive(bucket, catalog(), broker(), send)
    if reason == FAILED_BATCH:
        redrive.given_up(Queue(client("sqs"), settings().queue), context)
    else:
        redrive.quarantined(reason, window, context)
    return {"reason": reason, **window.report(), "sending": send, **redrive.told.report()}


def broker() -> Broker:
    """Connect to the stream, or to the topic that stands in its place."""
    stream = connect(client, settings().cluster, settings().bridge)
    return Kafka(stream, settings().stream) if isinstance(stream, Bridge) else Kinesis(stream, settings().stream)


def rounds(asides: Iterable[Aside]) -> Iterator[list[Aside]]:
    """Cut what waits into rounds."""
    source = iter(asides)
    while some := list(islice(source, ROUND)):
        yield some


def days(catalog: Catalog, reason: str, window: Window) -> list[Window]:
    """List the arrival days for which the quarantine may hold rows, as its partitions tell, within a window."""
    table = catalog.load_table(QUARANTINE.full_name)
    if table.current_snapshot() is None:
        return []
    equal = {} if reason == ANY else {"reason": reason}
    tasks = table.scan(row_filter=rows.within(window, **equal)).plan_files()
    starts = sorted({datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(t.file.partition[0]) for t in tasks})
    ends = [start + timedelta(days=1) for start in starts]
    return [
        Window(max(start, window.start or start), min(end, window.end or end))
        for start, end in zip(starts, ends, strict=True)
    ]


def in_clear(payload: bytes) -> bytes:
    """Open what was set aside, if privacy was on when it was; raise KeyUnavailable if its key is gone."""
    if not payload.startswith(SEALED_BYTES):
        return payload
    from domain.privacy.sealing import unsealed  # noqa: PLC0415  # with its layer, only where privacy is on

    return unsealed(payload, keys().ring(), "quarantine.payload")


@cache
def keys() -> Warm:
    """Open the keys, once for a warm process."""
    from lambdas.keys import warm  # noqa: PLC0415  # as above

    return warm(client("dynamodb"), client("kms"), settings())


def ledger(catalog: Catalog, day: Window) -> set[Key]:
    """Read what was redriven of the events that arrived on a day."""
    found = rows.read(catalog, REDRIVEN, rows.within(day), KEY_COLUMNS)
    return {(row["shard"], row["sequence"], row["digest"]) for row in found}


def day_of(moment: datetime) -> Window:
    """Find the day that a moment is in."""
    start = moment.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return Window(start, start + timedelta(days=1))


def arrival_days(asides: Iterable[Aside]) -> list[Window]:
    """List the days on which events arrived."""
    return list(dict.fromkeys(day_of(aside.arrived_at) for aside in asides))


def note(aside: Aside, now: datetime, shard: str, sequence: str) -> Mapping[str, Any]:
    """Write an entry of the ledger."""
    first_shard, first_sequence, digest = aside.key
    return {
        "shard": first_shard,
        "sequence": first_sequence,
        "digest": digest,
        "reason": aside.reason,
        "event": aside.event,
        "arrived_at": aside.arrived_at,
        "redriven_at": now,
        "to_shard": shard,
        "to_sequence": sequence.zfill(SEQUENCE_DIGITS),
    }
