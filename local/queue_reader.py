"""Read an SQS queue for one event source mapping: batches, partial failures, and what fails becomes visible again."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any

from local.cloud import Cloud
from local.functions import InvocationRefused, functions
from local.stream_batches import ENVELOPE_BYTES, MOST_PAYLOAD_BYTES, matches

RECEIVED_AT_ONCE = 10
POLLERS = 2  # AWS begins with five; a laptop has fewer cores
POLL_SECONDS = 1

log = logging.getLogger(__name__)


class QueueReader:
    """One mapping over one queue, served by a few pollers."""

    def __init__(self, cloud: Cloud, mapping: Any, queue: str) -> None:
        self.mapping = mapping
        self.result = "No records processed"
        self._cloud = cloud
        self._queue = queue
        self._stopping = threading.Event()
        self._pollers: list[threading.Thread] = []

    def look(self) -> None:
        """Have pollers at work if the mapping is enabled."""
        if not self.mapping.enabled:
            self.stop()
        elif not any(poller.is_alive() for poller in self._pollers):
            self._stopping = threading.Event()
            self._pollers = [
                threading.Thread(target=self._poll, args=(self._stopping,), name=f"{self._queue} {number}", daemon=True)
                for number in range(POLLERS)
            ]
            for poller in self._pollers:
                poller.start()

    def stop(self) -> None:
        """Receive nothing more."""
        self._stopping.set()

    def lags(self) -> dict[str, int]:
        """Return how many messages the queue holds, received ones included."""
        counts = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=counts)["Attributes"]
        return {self._queue: sum(int(found[name]) for name in counts)}

    @property
    def _sqs(self) -> Any:
        return self._cloud.client("sqs")

    @property
    def _url(self) -> str:
        return str(self._sqs.get_queue_url(QueueName=self._queue)["QueueUrl"])

    def _poll(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                if batch := self._gather(stopping):
                    self._deliver(batch)
            except Exception as trouble:  # a poller that died would look like an empty queue for ever
                self.result = f"PROBLEM: {trouble}"
                log.exception("event source %s", self._queue)
                stopping.wait(POLL_SECONDS)

    def _gather(self, stopping: threading.Event) -> list[dict[str, Any]]:
        batch: list[dict[str, Any]] = []
        size, until = ENVELOPE_BYTES, 0.0
        while not stopping.is_set() and len(batch) < self.mapping.batch_size:
            received = self._received(self.mapping.batch_size - len(batch))
            if received and not batch:
                until = time.monotonic() + float(self.mapping.max_batch_window or 0)
            for record in received:
                size += len(json.dumps(record)) + 1
                if size > MOST_PAYLOAD_BYTES:
                    self._return(record)
                else:
                    batch.append(record)
            if size > MOST_PAYLOAD_BYTES or time.monotonic() >= until:
                break
        return batch

    def _received(self, room: int) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(RECEIVED_AT_ONCE, room),
            WaitTimeSeconds=POLL_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        records = [self._record(message) for message in answer.get("Messages", [])]
        wanted = [
            record for record in records if matches(self.mapping.filter_patterns, {}, record["body"].encode(), "body")
        ]
        self._delete([record for record in records if record not in wanted])
        return wanted

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        shown = {"StringValue": "stringValue", "DataType": "dataType"}
        attributes = {
            name: {short: value[long] for long, short in shown.items() if long in value}
            for name, value in message.get("MessageAttributes", {}).items()
        }
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message.get("Attributes", {}),
            "messageAttributes": attributes,
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.mapping.event_source_arn,
            "awsRegion": self._cloud.region,
        }

    def _deliver(self, batch: list[dict[str, Any]]) -> None:
        running = functions(self._cloud)
        try:
            run = running.run(
                running.find(self.mapping.function_arn), json.dumps({"Records": batch}).encode(), wait=True
            )
        except (InvocationRefused, NotImplementedError) as refusal:
            self.result = f"PROBLEM: {refusal}"
            return
        failed = {record["messageId"] for record in batch} if run.failed else self._failures(batch, run.payload)
        self.result = "PROBLEM: Function call failed" if failed else "OK"
        self._delete([record for record in batch if record["messageId"] not in failed])

    def _failures(self, batch: list[dict[str, Any]], answer: bytes) -> set[str]:
        """Return the ids that a partial batch response names; all of them where it is malformed."""
        if "ReportBatchItemFailures" not in (self.mapping.function_response_types or ()):
            return set()
        known = {record["messageId"] for record in batch}
        try:
            named = {failure["itemIdentifier"] for failure in (json.loads(answer) or {}).get("batchItemFailures") or []}
        except (ValueError, AttributeError, KeyError, TypeError):
            return known
        return named if named <= known else known

    def _delete(self, records: list[dict[str, Any]]) -> None:
        for start in range(0, len(records), RECEIVED_AT_ONCE):
            entries = [
                {"Id": str(place), "ReceiptHandle": record["receiptHandle"]}
                for place, record in enumerate(records[start : start + RECEIVED_AT_ONCE])
            ]
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def _return(self, record: dict[str, Any]) -> None:
        handle = record["receiptHandle"]
        self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0)
