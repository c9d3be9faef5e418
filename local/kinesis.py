"""Answer Kinesis as AWS does: shard limits, partial failures, iterators that expire, resharding, retention."""

from __future__ import annotations

import base64
import functools
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import moto.kinesis.models as moto_kinesis
import msgspec
from moto.core.exceptions import JsonRESTError
from moto.kinesis.exceptions import InvalidArgumentError, ResourceNotFoundError
from moto.kinesis.models import KinesisBackend, kinesis_backends
from moto.kinesis.responses import KinesisResponse

from local import faults, routes
from local.cloud import Cloud
from local.pace import pace
from local.streams import DEFAULT_RECORD_KIB, Entry, Ground, LimitExceeded, LoggedShard, LoggedStream, stream_name
from local.tally import tally

TARGET = "Kinesis_20131202."
MOST_RECORDS_PUT = 500
MOST_BYTES_PUT = 10 << 20
MOST_RECORDS_GOT = 10_000
MOST_BYTES_GOT = 10 << 20
MOST_KEY_CHARACTERS = 256
MOST_RECORD_KIB = 10_240
ITERATOR_SECONDS = 300
TRIM_EVERY_SECONDS = 60.0
MOST_CONSUMERS = 20  # "Quotas and limits": registered consumers of a stream


class _Named(msgspec.Struct, kw_only=True, rename="pascal"):
    stream_name: str | None = None
    stream_arn: str | None = msgspec.field(default=None, name="StreamARN")


class _Item(msgspec.Struct, rename="pascal"):
    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None


class _PutRecord(_Named, kw_only=True):
    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None


class _PutRecords(_Named, kw_only=True):
    records: list[_Item]


class _GetRecords(msgspec.Struct, rename="pascal"):
    shard_iterator: str
    limit: int = MOST_RECORDS_GOT


class _GetShardIterator(_Named, kw_only=True):
    shard_id: str
    shard_iterator_type: str
    starting_sequence_number: str | None = None
    timestamp: float | None = None


class _ShardFilter(msgspec.Struct, rename="pascal"):
    type: str
    shard_id: str | None = None


class _ListShards(_Named, kw_only=True):
    next_token: str | None = None
    exclusive_start_shard_id: str | None = None
    max_results: int = 1000
    shard_filter: _ShardFilter | None = None


class _UpdateMaxRecordSize(_Named, kw_only=True):
    most: int = msgspec.field(name="MaxRecordSizeInKiB")


class _Iterator(msgspec.Struct, array_like=True):
    stream: str
    shard: str
    number: int
    issued: float

    def token(self) -> str:
        """Write it as the opaque text that clients hold."""
        return base64.b64encode(msgspec.json.encode(self)).decode()


class _Refused(Exception):
    """An AWS error to answer: code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _throttled(shard: LoggedShard) -> _Refused:
    stream = shard.stream
    text = f"Rate exceeded for shard {shard.shard_id} in stream {stream.stream_name} under account {stream.account_id}."
    return _Refused("ProvisionedThroughputExceededException", text)


def _invalid(message: str) -> _Refused:
    return _Refused("ValidationException", f"1 validation error detected: {message}")


class KinesisCalls:
    """The calls on which records travel, answered without moto's generic parsing."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._backend = kinesis_backends[cloud.account][cloud.region]
        self._tally = tally(cloud)
        self._calls: dict[str, Callable[[bytes], Any]] = {
            "PutRecord": _decoding(_PutRecord, self.put_record),
            "PutRecords": _decoding(_PutRecords, self.put_records),
            "GetRecords": _decoding(_GetRecords, self.get_records),
            "GetShardIterator": _decoding(_GetShardIterator, self.get_shard_iterator),
            "ListShards": _decoding(_ListShards, self.list_shards),
            "UpdateMaxRecordSize": _decoding(_UpdateMaxRecordSize, self.update_max_record_size),
            "SubscribeToShard": _no_fan_out,
        }

    def claims(self, environ: routes.Environ) -> bool:
        """Say whether a request is one of these calls."""
        target: str = environ.get("HTTP_X_AMZ_TARGET", "")
        return target.startswith(TARGET) and target[len(TARGET) :] in self._calls

    def __call__(self, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        call = self._calls[environ["HTTP_X_AMZ_TARGET"][len(TARGET) :]]
        status = "200 OK"
        try:
            if "cbor" in environ.get("CONTENT_TYPE", ""):
                raise NotImplementedError("Kinesis over CBOR; make the client speak JSON (Java: aws.cborEnabled=false)")
            answer = call(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        except _Refused as refusal:
            status = "500 Internal Server Error" if refusal.code == "InternalFailure" else "400 Bad Request"
            answer = {"__type": refusal.code, "message": str(refusal)}
        except JsonRESTError as refusal:
            status, answer = "400 Bad Request", {"__type": refusal.error_type, "message": refusal.message}
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", str(uuid.uuid4()))]
        start_response(status, headers)
        return [msgspec.json.encode(answer)]

    def put_record(self, request: _PutRecord) -> dict[str, Any]:
        """Answer PutRecord."""
        stream = self._stream(request)
        entry = Entry(request.partition_key, request.data, request.explicit_hash_key)
        _check_sizes(stream, [entry])
        whole, [code] = faults.put_codes(stream.stream_name, 1)
        if whole or code:
            raise _broken(str(whole or code), stream.shard_for(entry))
        [(shard, sequence)] = stream.put([entry])
        self._count(stream, [entry], [sequence])
        if sequence is None:
            raise _throttled(shard)
        return {"ShardId": shard.shard_id, "SequenceNumber": sequence, **_encryption(stream)}

    def put_records(self, request: _PutRecords) -> dict[str, Any]:
        """Answer PutRecords: what a shard's limits refuse fails alone."""
        stream = self._stream(request)
        if not 1 <= len(request.records) <= MOST_RECORDS_PUT:
            raise _invalid(
                "Value at 'records' failed to satisfy constraint: "
                f"Member must have length less than or equal to {MOST_RECORDS_PUT}"
            )
        entries = [Entry(item.partition_key, item.data, item.explicit_hash_key) for item in request.records]
        _check_sizes(stream, entries)
        whole, codes = faults.put_codes(stream.stream_name, len(entries))
        if whole:
            raise _broken(whole, stream.shard_for(entries[0]))
        put = iter(stream.put([entry for entry, code in zip(entries, codes, strict=True) if code is None]))
        outcomes = [
            _error(_broken(code, stream.shard_for(entry))) if code else _outcome(*next(put))
            for entry, code in zip(entries, codes, strict=True)
        ]
        self._count(stream, entries, [outcome.get("SequenceNumber") for outcome in outcomes])
        failed = sum("ErrorCode" in outcome for outcome in outcomes)
        return {"FailedRecordCount": failed, "Records": outcomes, **_encryption(stream)}

    def get_shard_iterator(self, request: _GetShardIterator) -> dict[str, Any]:
        """Answer GetShardIterator."""
        stream = self._stream(request)
        shard = self._shard(stream, request.shard_id)
        number = _position(shard, request.shard_iterator_type, request.starting_sequence_number, request.timestamp)
        return {"ShardIterator": _Iterator(stream.stream_name, shard.shard_id, number, time.time()).token()}

    def get_records(self, request: _GetRecords) -> dict[str, Any]:
        """Answer GetRecords, and name the children where a closed shard ends."""
        place = _placed(request.shard_iterator)
        stream = self._named(place.stream)
        shard = self._shard(stream, place.shard)
        if not 1 <= request.limit <= MOST_RECORDS_GOT:
            raise _invalid(
                f"Value '{request.limit}' at 'limit' failed to satisfy constraint: "
                f"Member must have value less than or equal to {MOST_RECORDS_GOT}"
            )
        if not shard.admit_read():
            raise _throttled(shard)
        number = max(place.number, shard.horizon)
        records = shard.log.read(number, request.limit, MOST_BYTES_GOT)
        shard.count_read(records)
        number = records[-1].number + 1 if records else number
        behind = stream.ground.milliseconds() - records[-1].arrived if records and number < shard.log.next else 0
        answer: dict[str, Any] = {
            "Records": [
                {
                    "SequenceNumber": shard.sequence(record.number, record.arrived),
                    "ApproximateArrivalTimestamp": record.arrived / 1000,
                    "Data": record.data,
                    "PartitionKey": record.key,
                }
                for record in records
            ],
            "MillisBehindLatest": behind,
        }
        if shard.is_open or number < shard.log.next:
            answer["NextShardIterator"] = _Iterator(place.stream, place.shard, number, time.time()).token()
        else:
            answer["ChildShards"] = _children(stream, shard.shard_id)
        return answer

    def list_shards(self, request: _ListShards) -> dict[str, Any]:
        """Answer ListShards."""
        name, _, after = (request.next_token or "").partition("|")
        stream = self._named(name) if request.next_token else self._stream(request)
        shards = _listed(stream, request.shard_filter)
        after = after or request.exclusive_start_shard_id or ""
        shards = [shard for shard in shards if shard.shard_id > after]
        answer: dict[str, Any] = {"Shards": [shard.to_json() for shard in shards[: request.max_results]]}
        if len(shards) > request.max_results:
            answer["NextToken"] = f"{stream.stream_name}|{answer['Shards'][-1]['ShardId']}"
        return answer

    def update_max_record_size(self, request: _UpdateMaxRecordSize) -> dict[str, Any]:
        """Answer UpdateMaxRecordSize."""
        if not DEFAULT_RECORD_KIB <= request.most <= MOST_RECORD_KIB:
            raise _invalid(
                f"Value '{request.most}' at 'maxRecordSizeInKiB' failed to satisfy constraint: "
                f"Member must have value between {DEFAULT_RECORD_KIB} and {MOST_RECORD_KIB}"
            )
        self._stream(request).max_record_kib = request.most
        return {}

    def _stream(self, request: _Named) -> LoggedStream:
        name = request.stream_name or stream_name(request.stream_arn or "")
        return self._named(name)

    def _named(self, name: str) -> LoggedStream:
        if name not in self._backend.streams:
            raise ResourceNotFoundError(f"Stream {name} under account {self._cloud.account} not found.")
        return self._backend.streams[name]  # type: ignore[no-any-return]

    def _shard(self, stream: LoggedStream, shard_id: str) -> LoggedShard:
        if shard_id not in stream.shards:
            raise ResourceNotFoundError(
                f"Shard {shard_id} in stream {stream.stream_name} under account {self._cloud.account} does not exist"
            )
        return stream.shards[shard_id]  # type: ignore[no-any-return]

    def _count(self, stream: LoggedStream, entries: list[Entry], sequences: list[str | None]) -> None:
        written = [len(entry.data) for entry, sequence in zip(entries, sequences, strict=True) if sequence]
        where = {"StreamName": stream.stream_name}
        throttled = len(entries) - len(written)
        counts = {"IncomingRecords": float(len(written)), "WriteProvisionedThroughputExceeded": float(throttled)}
        self._tally.add("AWS/Kinesis", "Count", where, counts)
        self._tally.add("AWS/Kinesis", "Bytes", where, {"IncomingBytes": float(sum(written))})


def _decoding(kind: type[Any], call: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    decoder = msgspec.json.Decoder(kind)

    def decoded(body: bytes) -> Any:
        try:
            return call(decoder.decode(body))
        except msgspec.DecodeError as wrong:
            raise _Refused("SerializationException", str(wrong)) from wrong

    return decoded


def _no_fan_out(_: bytes) -> Any:
    raise NotImplementedError(
        "Kinesis SubscribeToShard by a client; read with GetRecords, or map the consumer's ARN to a function"
    )


def _check_sizes(stream: LoggedStream, entries: list[Entry]) -> None:
    most = stream.max_record_kib << 10
    for position, entry in enumerate(entries, 1):
        if len(entry.data) > most:
            where = f"records.{position}.member.data" if len(entries) > 1 else "data"
            raise _invalid(
                f"Value at '{where}' failed to satisfy constraint: Member must have length less than or equal to {most}"
            )
        if not 1 <= len(entry.key) <= MOST_KEY_CHARACTERS:
            raise _invalid(
                f"Value '{entry.key[:64]}' at 'records.{position}.member.partitionKey' failed to satisfy constraint: "
                f"Member must have length between 1 and {MOST_KEY_CHARACTERS}"
            )
    if sum(len(entry.data) + len(entry.key) for entry in entries) > MOST_BYTES_PUT:
        raise InvalidArgumentError(f"Records size exceeds {MOST_BYTES_PUT >> 20} MB limit")


def _outcome(shard: LoggedShard, sequence: str | None) -> dict[str, str]:
    if sequence is None:
        return _error(_throttled(shard))
    return {"SequenceNumber": sequence, "ShardId": shard.shard_id}


def _error(refusal: _Refused) -> dict[str, str]:
    return {"ErrorCode": refusal.code, "ErrorMessage": str(refusal)}


def _broken(code: str, shard: LoggedShard) -> _Refused:
    """Return what AWS would say where a fault strikes."""
    throttled = _throttled(shard)
    return throttled if code == throttled.code else _Refused(code, "Internal service failure.")


def _encryption(stream: LoggedStream) -> dict[str, str]:
    return {"EncryptionType": "KMS"} if stream.encryption_type == "KMS" else {}


def _position(shard: LoggedShard, kind: str, sequence: str | None, timestamp: float | None) -> int:
    """Return the number of the first record that an iterator of this kind reads."""
    match kind:
        case "TRIM_HORIZON":
            return shard.horizon
        case "LATEST":
            return shard.log.next
        case "AT_SEQUENCE_NUMBER" if sequence:
            return shard.number(sequence)
        case "AFTER_SEQUENCE_NUMBER" if sequence:
            return shard.number(sequence) + 1
        case "AT_TIMESTAMP" if timestamp is not None:
            return max(shard.horizon, shard.log.since(int(timestamp * 1000)))
    raise InvalidArgumentError(f"ShardIteratorType {kind} needs its StartingSequenceNumber or Timestamp, or is unknown")


def _placed(token: str) -> _Iterator:
    try:
        place = msgspec.json.decode(base64.b64decode(token, validate=True), type=_Iterator)
    except (ValueError, msgspec.DecodeError) as wrong:
        raise InvalidArgumentError("Invalid ShardIterator.") from wrong
    if time.time() - place.issued > ITERATOR_SECONDS:
        raise _Refused(
            "ExpiredIteratorException",
            f"Iterator expired. The iterator was created at time {place.issued} while right now it is {time.time()} "
            f"which is further in the future than the tolerated delay of {ITERATOR_SECONDS * 1000} milliseconds.",
        )
    return place


def _children(stream: LoggedStream, shard_id: str) -> list[dict[str, Any]]:
    return [
        {
            "ShardId": child.shard_id,
            "ParentShards": list(child.parents),
            "HashKeyRange": child.to_json()["HashKeyRange"],
        }
        for child in stream.shards.values()
        if shard_id in child.parents
    ]


def _listed(stream: LoggedStream, wanted: _ShardFilter | None) -> list[LoggedShard]:
    shards = sorted(stream.shards.values(), key=lambda shard: shard.shard_id)
    match wanted.type if wanted else None:
        case None | "FROM_TRIM_HORIZON":
            return shards
        case "AT_LATEST":
            return [shard for shard in shards if shard.is_open]
        case "AT_TRIM_HORIZON":
            return [shard for shard in shards if not any(parent in stream.shards for parent in shard.parents)]
        case "AFTER_SHARD_ID":
            return [shard for shard in shards if shard.shard_id > (wanted.shard_id if wanted else "")]
    raise NotImplementedError(f"Kinesis ListShards with ShardFilter {wanted}; use AT_LATEST or FROM_TRIM_HORIZON")


@functools.cache
def install(cloud: Cloud) -> None:
    """Give moto's Kinesis real shards, and take the calls on which records travel."""
    folder = cloud.state / "kinesis"
    shutil.rmtree(folder, ignore_errors=True)  # moto's streams do not outlive the process, nor do their records
    LoggedStream.ground = Ground(folder, pace(cloud))
    moto_kinesis.Stream = LoggedStream
    _mend_deletion()
    _mend_creation()
    _mend_consumers()
    calls = KinesisCalls(cloud)
    routes.claim(calls.claims, calls)
    threading.Thread(target=_trim, args=(cloud,), name="kinesis retention", daemon=True).start()


def _trim(cloud: Cloud) -> None:
    while True:
        time.sleep(TRIM_EVERY_SECONDS)
        for stream in list(kinesis_backends[cloud.account][cloud.region].streams.values()):
            stream.trim()


def _mend_deletion() -> None:
    delete = KinesisBackend.delete_stream

    def delete_stream(self: Any, stream_arn: str | None, stream_name: str | None) -> Any:
        stream = delete(self, stream_arn, stream_name)
        stream.delete_files()
        return stream

    KinesisBackend.delete_stream = delete_stream


def _mend_consumers() -> None:
    """End a consumer's ARN with the second of its registration, as AWS does; allow 20 and no two of a name."""
    register = KinesisBackend.register_stream_consumer

    def register_stream_consumer(self: Any, stream_arn: str, consumer_name: str) -> Any:
        known = self._find_stream_by_arn(stream_arn).consumers
        if any(consumer.consumer_name == consumer_name for consumer in known):
            raise JsonRESTError("ResourceInUseException", f"Consumer {consumer_name} under stream {stream_arn} exists.")
        if len(known) >= MOST_CONSUMERS:
            raise LimitExceeded(f"{stream_arn} has {MOST_CONSUMERS} consumers")
        consumer = register(self, stream_arn, consumer_name)
        consumer.consumer_arn = f"{stream_arn}/consumer/{consumer_name}:{int(time.time())}"
        return consumer

    KinesisBackend.register_stream_consumer = register_stream_consumer


def _mend_creation() -> None:
    """Keep the settings of CreateStream that moto leaves out."""
    create = KinesisResponse.create_stream

    def create_stream(self: Any) -> Any:
        answer = create(self)
        stream = self.kinesis_backend.streams[self._get_param("StreamName")]
        stream.max_record_kib = int(self._get_param("MaxRecordSizeInKiB") or DEFAULT_RECORD_KIB)
        stream.tags.update(self._get_param("Tags") or {})
        return answer

    KinesisResponse.create_stream = create_stream
