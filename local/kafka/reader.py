"""Read a topic for one event source mapping: pollers of one consumer group, which commit what was handled."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from local import faults, stream_batches
from local.cloud import Cloud
from local.functions import InvocationRefused, functions
from local.giving_up import GivenUp, back_off
from local.kafka import batches
from local.kafka.batches import Envelope, Record
from local.kafka.clusters import Refused, clusters
from local.kafka.mapping import KafkaMapping
from local.stream_batches import MOST_PAYLOAD_BYTES, Item, Part, Rules
from local.tally import tally
from local.workers import Run

ENVELOPE_BYTES = 1024  # what the event says beside its records, at most
FETCH_RECORDS = 2_000
WAIT_SECONDS = 0.2
WATCH_SECONDS = 10.0
RETENTION_SECONDS = 10 * 365 * 86_400.0  # the broker forgets by itself

log = logging.getLogger(__name__)


class TopicReader:
    """One mapping over one topic: as many pollers as it asks for, sharing the partitions as Kafka divides them."""

    def __init__(self, cloud: Cloud, mapping: KafkaMapping) -> None:
        self.cloud = cloud
        self.mapping = mapping
        self.result = "No records processed"
        self._pollers: list[Poller] = []
        self._watching: Consumer | None = None

    def look(self) -> None:
        """Start, stop or go on, as the mapping now is; a poller that ended is followed by another."""
        if not self.mapping.enabled:
            self.stop()
            return
        self._pollers = [poller for poller in self._pollers if poller.is_alive()]
        try:
            bootstrap = clusters(self.cloud).bootstrap(self.mapping.event_source_arn)
        except Refused as refused:
            self.result = f"PROBLEM: {refused}"
            return
        while len(self._pollers) < self.mapping.pollers:
            self._pollers.append(Poller(self, bootstrap))
            self._pollers[-1].start()

    def stop(self) -> None:
        """Deliver nothing more; what is being delivered ends."""
        for poller in self._pollers:
            poller.stopping.set()

    def lags(self) -> dict[str, int]:
        """Return, for each partition, how many records are not handled yet."""
        try:
            watching = self._watch()
            partitions = watching.list_topics(self.mapping.topic, timeout=WATCH_SECONDS).topics[self.mapping.topic]
            asked = [TopicPartition(self.mapping.topic, number) for number in sorted(partitions.partitions)]
            return {
                f"{found.topic}-{found.partition}": self._lag(watching, found)
                for found in watching.committed(asked, timeout=WATCH_SECONDS)
            }
        except (KafkaException, Refused):
            return {f"{self.mapping.topic}-unreachable": 1}  # what cannot be counted is not none

    def _lag(self, watching: Consumer, committed: TopicPartition) -> int:
        low, high = watching.get_watermark_offsets(committed, timeout=WATCH_SECONDS)
        if committed.offset < 0 and self.mapping.starting_position != "TRIM_HORIZON":
            return 0
        return int(high) - max(int(low), committed.offset)

    def _watch(self) -> Consumer:
        """A client of the group that never joins it."""
        if self._watching is None:
            self._watching = Consumer(
                _client(clusters(self.cloud).bootstrap(self.mapping.event_source_arn), self.mapping)
            )
        return self._watching


class Poller(threading.Thread):
    """One member of the group: gathers a batch, delivers it until it is settled, then commits its offsets."""

    def __init__(self, owner: TopicReader, bootstrap: str) -> None:
        super().__init__(name=f"{owner.mapping.topic} {owner.mapping.uuid}", daemon=True)
        self.stopping = threading.Event()
        self._owner = owner
        self._cloud = owner.cloud
        self._mapping = owner.mapping
        self._functions = functions(owner.cloud)
        self._envelope = Envelope(owner.mapping.event_source_arn, bootstrap)
        self._kept: deque[Record] = deque()

    def run(self) -> None:
        """Work until stopped; after any trouble end, so that another begins where the group stands."""
        consumer = Consumer(_client(self._envelope.bootstrap, self._mapping))
        try:
            consumer.subscribe([self._mapping.topic], on_assign=self._assigned, on_revoke=self._revoked)
            while not self.stopping.is_set():
                items = self._gather(consumer)
                if self._settle(items) and items:
                    self._commit(consumer, items)
        except Exception:  # the next poller reads again from what was committed
            log.exception("%s", self.name)
            self.stopping.wait(1.0)
        finally:
            consumer.close()

    @property
    def _rules(self) -> Rules:
        return batches.rules(self._mapping)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin where the group stands; where it has been nowhere, at the moment that the mapping names."""
        if self._mapping.starting_position == "AT_TIMESTAMP":
            moment = int(float(self._mapping.starting_position_timestamp) * 1000)
            new = [found for found in consumer.committed(partitions, timeout=WATCH_SECONDS) if found.offset < 0]
            asked = [TopicPartition(each.topic, each.partition, moment) for each in new]
            for found in consumer.offsets_for_times(asked, timeout=WATCH_SECONDS) if asked else ():
                next(each for each in partitions if each.partition == found.partition).offset = found.offset
        consumer.assign(partitions)

    def _revoked(self, _: Consumer, __: list[TopicPartition]) -> None:
        self._kept.clear()  # whoever has the partitions now reads them from what was committed

    def _gather(self, consumer: Consumer) -> list[Item]:
        """Return a batch: full, or 6 MB, or as far as the window reaches."""
        rules, size = self._rules, ENVELOPE_BYTES
        items: list[Item] = []
        until = float("inf")
        while not self.stopping.is_set() and monotonic() < until:
            wait = min(WAIT_SECONDS, max(0.0, until - monotonic()))
            room = min(FETCH_RECORDS, rules.batch_size - len(items))
            self._kept.extend(self._fetch(consumer, room - len(self._kept), wait))
            while self._kept and len(items) < rules.batch_size:
                size += len(self._kept[0].encoded) + 1
                if size > MOST_PAYLOAD_BYTES and items:
                    return items
                items.append(self._kept.popleft().item)
            if len(items) == rules.batch_size:
                break
            if items and until == float("inf"):
                until = monotonic() + rules.window_seconds
        return items

    def _fetch(self, consumer: Consumer, most: int, wait: float) -> list[Record]:
        if most <= 0:
            return []
        messages = consumer.consume(most, wait)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        return [batches.record(message) for message in messages]

    def _commit(self, consumer: Consumer, items: Sequence[Item]) -> None:
        """Commit what was handled; a partition that went to another meanwhile is read there again."""
        ends = [TopicPartition(topic, number, end) for (topic, number), end in batches.reached(items).items()]
        consumer.commit(offsets=ends, asynchronous=False)

    def _settle(self, items: Sequence[Item]) -> bool:
        """Deliver until every record is handled or discarded; say whether it came to that before a stop."""
        pending = deque([Part(items)] if items else [])
        invocations = 0
        while pending:
            part = self._without_expired(pending.popleft(), invocations)
            if not part.items:
                continue
            if self.stopping.is_set():
                return False
            failed, run = self._deliver(part)
            if run is None:
                pending.appendleft(part)  # it could not be invoked, which uses up no retries
                self._back_off(part.failures)
                continue
            invocations += 1
            if failed:
                pending.extendleft(reversed(self._after(Part(failed, part.failures), part, invocations, run)))
        return True

    def _after(self, failed: Part, part: Part, invocations: int, run: Run) -> list[Part]:
        """Return what is delivered next: the records that failed, if only some did; else as the rules say."""
        if len(failed.items) < len(part.items):
            return [Part(failed.items)]
        following = stream_batches.after_failure(failed, 0, self._rules)
        if not following:
            self._discard(failed.items, "RetryAttemptsExhausted", invocations, run)
        else:
            self._back_off(following[0].failures)
        return following

    def _deliver(self, part: Part) -> tuple[Sequence[Item], Run | None]:
        """Invoke the function; return the records that failed, and the run, if there was one."""
        name = self._mapping.function_arn.split(":function:")[1].split(":")[0]
        age = max(0.0, time.time() * 1000 - part.items[-1].arrived)
        tally(self._cloud).add("AWS/Lambda", "Milliseconds", {"FunctionName": name}, {"IteratorAge": age})
        try:
            run = faults.delivered(name, part.items, self._invoke)
        except (InvocationRefused, NotImplementedError) as refusal:
            self._owner.result = f"PROBLEM: {refusal}"
            log.warning("%s: %s", self.name, refusal)
            return part.items, None
        failed: Sequence[Item] = part.items if run.failed else ()
        if not run.failed and self._rules.partial:
            failed = batches.failures(part.items, run.payload)
        self._owner.result = "PROBLEM: Function call failed" if failed else "OK"
        return failed, run

    def _invoke(self, items: Sequence[Item]) -> Run:
        function = self._functions.find(self._mapping.function_arn)
        return self._functions.run(function, self._envelope.event(items), wait=True)

    def _without_expired(self, part: Part, invocations: int) -> Part:
        oldest_first = sorted(part.items, key=lambda item: item.arrived)
        count = stream_batches.expired(oldest_first, self._rules, RETENTION_SECONDS, time.time())
        if not count:
            return part
        self._discard(oldest_first[:count], "RecordAgeExceeded", invocations, None)
        gone = {item.sequence for item in oldest_first[:count]}
        return Part([item for item in part.items if item.sequence not in gone], part.failures)

    def _back_off(self, failures: int) -> None:
        back_off(self._cloud, self.stopping, failures)

    def _discard(self, items: Sequence[Item], condition: str, invocations: int, run: Run | None) -> None:
        """Give up on records, and tell the on-failure destination which they were."""
        if destination := self._rules.on_failure:
            payload = self._envelope.event(items)
            place = {"KafkaBatchInfo": self._place(items, len(payload))}
            lost = GivenUp(self._mapping, condition, invocations, run, place, self._mapping.topic, payload)
            lost.tell(self._cloud, destination)

    def _place(self, items: Sequence[Item], size: int) -> dict[str, Any]:
        return {
            "batchSize": len(items),
            "eventSourceArn": self._mapping.event_source_arn,
            "bootstrapServers": self._envelope.bootstrap,
            "payloadSize": size,
            "recordsInfo": batches.information(items),
        }


def _client(bootstrap: str, mapping: KafkaMapping) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": bootstrap,
        "group.id": mapping.group,
        "auto.offset.reset": "latest" if mapping.starting_position == "LATEST" else "earliest",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 50,
        "topic.metadata.refresh.interval.ms": 1_000,  # new partitions are seen so soon
        "max.poll.interval.ms": 86_400_000,  # a batch may be retried for long
        "session.timeout.ms": 10_000,
        "log_level": 0,
    }
