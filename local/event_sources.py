"""Deliver records of streams and messages of queues to functions, as AWS's event source mappings do."""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.core.exceptions import JsonRESTError
from moto.events.models import EventPattern
from moto.kinesis.models import kinesis_backends
from moto.sqs.models import sqs_backends

from local import routes
from local.cloud import Cloud
from local.functions import functions
from local.kafka import mapping as kafka_mapping
from local.kafka.mapping import KafkaMapping
from local.kafka.reader import TopicReader
from local.queue_reader import QueueReader
from local.stream_reader import StreamReader
from local.streams import stream_name

STATUS_PATH = "/_cloud/event-sources"
LOOK_SECONDS = 0.2
STARTING_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")

# AWS Lambda API Reference, CreateEventSourceMapping: the least and the most of each setting.
_BOUNDS = {
    "BatchSize": (1, 10_000),
    "MaximumBatchingWindowInSeconds": (0, 300),
    "ParallelizationFactor": (1, 10),
    "MaximumRetryAttempts": (-1, 10_000),
    "MaximumRecordAgeInSeconds": (-1, 604_800),
}
_LEAST_AGE = 60
_SMALL_BATCH = 10

log = logging.getLogger(__name__)

Reader = StreamReader | QueueReader | TopicReader


class EventSources:
    """Every mapping of the cloud with the reader that serves it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._mappings: dict[str, EventSourceMapping] = functions(cloud).backend._event_source_mappings
        self._readers: dict[str, Reader] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="event sources", daemon=True).start()

    def add(self, mapping: EventSourceMapping) -> None:
        """Serve a new mapping from this moment on, which decides what LATEST means."""
        with self._lock:
            self._readers[mapping.uuid] = self._reader(mapping)

    def look(self) -> None:
        """Follow what changed: mappings deleted, switched on or off, shards split or merged."""
        with self._lock:
            for uuid in [uuid for uuid in self._readers if uuid not in self._mappings]:
                self._readers.pop(uuid).stop()
            readers = list(self._readers.values())
        for reader in readers:
            reader.look()

    def status(self) -> list[dict[str, Any]]:
        """Describe each mapping and what it has not handled yet."""
        with self._lock:
            readers = list(self._readers.values())
        return [
            {
                "uuid": reader.mapping.uuid,
                "function": reader.mapping.function_arn,
                "source": reader.mapping.event_source_arn,
                "state": reader.mapping.get_configuration()["State"],
                "lastProcessingResult": reader.result,
                "lag": sum(lags.values()),
                "lags": lags,
            }
            for reader in readers
            for lags in [reader.lags()]
        ]

    def result(self, uuid: str) -> str:
        """Return the LastProcessingResult of a mapping."""
        reader = self._readers.get(uuid)
        return reader.result if reader else "No records processed"

    def _reader(self, mapping: EventSourceMapping) -> Reader:
        if isinstance(mapping, KafkaMapping):
            return TopicReader(self._cloud, mapping)
        arn = mapping.event_source_arn
        if ":kinesis:" in arn:
            stream = kinesis_backends[self._cloud.account][self._cloud.region].streams[stream_name(arn)]
            return StreamReader(self._cloud, mapping, stream)
        return QueueReader(self._cloud, mapping, arn.rpartition(":")[2])

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # one mapping's trouble must not stop the others from being served
                log.exception("event sources")
            time.sleep(LOOK_SECONDS)


def check(spec: dict[str, Any]) -> None:
    """Refuse settings that AWS refuses, and by name those that this cloud does not do."""
    arn = spec.get("EventSourceArn", "")
    if ":dynamodb:" in arn or arn.endswith(".fifo"):
        raise NotImplementedError(
            f"an event source mapping from {arn}: Kinesis streams, MSK topics and standard SQS queues work"
        )
    if spec.get("TumblingWindowInSeconds"):
        raise NotImplementedError("TumblingWindowInSeconds of an event source mapping; aggregate in the function")
    for name, (least, most) in _BOUNDS.items():
        value = spec.get(name)
        if value is not None and not least <= int(value) <= most:
            raise _invalid(f"{name} {value}: must be between {least} and {most}")
    if 0 <= int(spec.get("MaximumRecordAgeInSeconds", -1)) < _LEAST_AGE:
        raise _invalid(f"MaximumRecordAgeInSeconds must be -1 or at least {_LEAST_AGE}")
    _check_source(arn, spec)


def _check_source(arn: str, spec: dict[str, Any]) -> None:
    if ":kafka:" in arn:
        kafka_mapping.check(spec)
    if ":kinesis:" in arn and spec.get("StartingPosition") not in STARTING_POSITIONS:
        raise _invalid(f"StartingPosition must be one of {', '.join(STARTING_POSITIONS)}")
    if (
        ":sqs:" in arn
        and int(spec.get("BatchSize", 1)) > _SMALL_BATCH
        and not spec.get("MaximumBatchingWindowInSeconds")
    ):
        raise _invalid(
            "Maximum batch window in seconds must be greater than 0 "
            f"if maximum batch size is greater than {_SMALL_BATCH}"
        )


def _invalid(message: str) -> JsonRESTError:
    return JsonRESTError("InvalidParameterValueException", message)


def patterns(criteria: dict[str, Any] | None) -> tuple[EventPattern, ...]:
    """Read filter criteria."""
    return tuple(EventPattern.load(written["Pattern"]) for written in (criteria or {}).get("Filters", ()))


@functools.cache
def install(cloud: Cloud) -> None:
    """Serve moto's event source mappings, and report on them at `/_cloud/event-sources`."""
    sources = EventSources(cloud)
    create, describe = LambdaBackend.create_event_source_mapping, EventSourceMapping.get_configuration

    def created(self: Any, spec: dict[str, Any]) -> EventSourceMapping:
        check(spec)
        _refuse_twice(self, spec)
        arn = spec["EventSourceArn"]
        make = kafka_mapping.create if ":kafka:" in arn else create
        read = _read_arn(cloud, arn)
        mapping = make(
            self, {**spec, "EventSourceArn": read, "Enabled": str(spec.get("Enabled", True)).lower() == "true"}
        )
        mapping.event_source_arn = arn
        mapping.filter_patterns = patterns(mapping.filter_criteria)
        for queue in sqs_backends[cloud.account][cloud.region].queues.values():
            queue.lambda_event_source_mappings.clear()  # moto would invoke within SendMessage, one message a call
        sources.add(mapping)
        return mapping

    def described(self: Any) -> Any:
        return {**describe(self), "LastProcessingResult": sources.result(self.uuid)}

    LambdaBackend.create_event_source_mapping = created
    EventSourceMapping.get_configuration = described
    _mend_update()

    def report(_: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(sources.status()).encode()]

    routes.claim(lambda environ: environ["PATH_INFO"] == STATUS_PATH, report)


def _read_arn(cloud: Cloud, arn: str) -> str:
    """Return the ARN of what a mapping reads: of a registered consumer, its stream's."""
    stream, _, consumer = arn.partition("/consumer/")
    if not consumer:
        return arn
    known = kinesis_backends[cloud.account][cloud.region].streams.get(stream_name(arn))
    if known is None or arn not in {each.consumer_arn for each in known.consumers}:
        raise _invalid(f"Consumer {arn} is not registered")
    return stream


def _mend_update() -> None:
    update = LambdaBackend.update_event_source_mapping

    def updated(self: Any, uuid: str, spec: dict[str, Any]) -> Any:
        known = self.get_event_source_mapping(uuid)
        if known:
            kept = {"EventSourceArn": known.event_source_arn, "StartingPosition": known.starting_position}
            check({**kept, "Topics": known.topics, "ProvisionedPollerConfig": known.poller_config, **spec})
        if "Enabled" in spec:
            spec = {**spec, "Enabled": str(spec["Enabled"]).lower() == "true"}
        mapping = update(self, uuid, spec)
        if mapping:
            mapping.poller_config = spec.get("ProvisionedPollerConfig", mapping.poller_config)
            mapping.filter_patterns = patterns(mapping.filter_criteria)
        return mapping

    LambdaBackend.update_event_source_mapping = updated


def _refuse_twice(backend: Any, spec: dict[str, Any]) -> None:
    arn = backend.get_function(spec["FunctionName"]).function_arn
    for known in backend._event_source_mappings.values():
        if known.event_source_arn == spec["EventSourceArn"] and known.function_arn == arn:
            message = (
                f'The event source arn (" {known.event_source_arn} ") and function (" {arn} ") provided mapping '
                f"already exists. Please update or delete the existing mapping with UUID {known.uuid}"
            )
            raise JsonRESTError("ResourceConflictException", message)
