"""The table of erasures: requests, the deny-list, the queue, the one job at work, and what it found and did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from domain.privacy.erasures import DENIED, DENIED_HEX, KEY

WAITING, LOCK = "(waiting)", "(lock)"
REQUEST, JOB = "request", "job"
CHAIN, HEAD = "(chain)", "head"
TAKEN = "ConditionalCheckFailedException"
CANCELED = "TransactionCanceledException"
NAMES = {"#s": "subject"}


@dataclass(frozen=True, slots=True)
class Lock:
    """The one job at work, and the execution that works on it."""

    job: str
    execution: str


@dataclass(frozen=True, slots=True)
class Erasures:
    """One DynamoDB table; `client` is boto3's.  No item holds a person but as keyed digest or sealed."""

    client: Any
    table: str

    def wrapped_key(self) -> bytes | None:
        """Read the key of digests, as KMS wrapped it, if it was ever made."""
        found = self.find(KEY, "digests")
        return found["wrapped"]["B"] if found else None

    def keep_key(self, wrapped: bytes) -> bool:
        """Keep the key of digests unless there is one; tell whether it was kept."""
        return self._put(KEY, "digests", wrapped={"B": wrapped})

    def request(self, digest: str, sealed: bytes, at: datetime, due: datetime) -> bool:
        """Enter a request, put the person on the deny-list and into the queue, all or nothing.

        The same request twice is one: False tells that it stands already.
        """
        moment = at.isoformat()
        entry = {"state": {"S": "waiting"}, "at": {"S": moment}, "due": {"S": due.isoformat()}, "sealed": {"B": sealed}}
        puts = [_put(self.table, _item(digest, REQUEST, **entry), once=True)]
        puts.append(_put(self.table, _item(DENIED, f"{moment}/{digest[:DENIED_HEX]}")))
        puts.append(_put(self.table, _item(WAITING, digest, at={"S": moment})))
        try:
            self.client.transact_write_items(TransactItems=puts)
        except ClientError as error:
            if error.response["Error"]["Code"] != CANCELED or not self.find(digest, REQUEST):
                raise
            return False
        return True

    def standing(self, digest: str) -> dict[str, Any]:
        """Say what became of a request: state, moments, job and certificate."""
        found = self.find(digest, REQUEST) or {}
        return {name: value["S"] for name, value in found.items() if "S" in value and name not in ("subject", "item")}

    def sealed(self, digest: str) -> bytes | None:
        """Read who a request is about, as KMS sealed it; nothing once it is done."""
        found = self.find(digest, REQUEST) or {}
        return found["sealed"]["B"] if "sealed" in found else None

    def waiting(self, most: int | None = None) -> list[str]:
        """List the digests in the queue, the oldest request first; so many at most, if told."""
        queued = sorted(self.all(WAITING), key=lambda item: str(item["at"]["S"]))
        return [item["item"]["S"] for item in queued[:most]]

    def lock(self) -> Lock | None:
        """Say which job is at work."""
        found = self.find(LOCK, JOB)
        return Lock(found["job"]["S"], found["execution"]["S"]) if found else None

    def begin(self, job: str, execution: str, digests: Sequence[str], at: datetime) -> bool:
        """Begin a job on some of the queue unless another is at work; tell whether it has begun."""
        lock = _item(LOCK, JOB, job={"S": job}, execution={"S": execution})
        said = {"digests": {"S": json.dumps(list(digests))}, "at": {"S": at.isoformat()}}
        puts = [_put(self.table, lock, once=True), _put(self.table, _item(_job(job), JOB, **said))]
        try:
            self.client.transact_write_items(TransactItems=puts)
        except ClientError as error:
            if error.response["Error"]["Code"] != CANCELED:
                raise
            return False
        return True

    def take_over(self, dead: Lock, execution: str) -> bool:
        """Go on with the job of an execution that ended on the way; tell whether nobody else did before."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item=_item(LOCK, JOB, job={"S": dead.job}, execution={"S": execution}),
                ConditionExpression="execution = :dead",
                ExpressionAttributeValues={":dead": {"S": dead.execution}},
            )
        except ClientError as error:
            return _unless_taken(error)
        return True

    def release(self, execution: str) -> None:
        """Let the next job begin."""
        try:
            self.client.delete_item(
                TableName=self.table,
                Key=_item(LOCK, JOB),
                ConditionExpression="execution = :mine",
                ExpressionAttributeValues={":mine": {"S": execution}},
            )
        except ClientError as error:
            _unless_taken(error)

    def members(self, job: str) -> list[str]:
        """List the digests that a job is about."""
        found = self.find(_job(job), JOB)
        return json.loads(found["digests"]["S"]) if found else []

    def enroll(self, job: str, digest: str) -> None:
        """Say at a request which job it is part of, and take it out of the queue."""
        self._set(digest, "SET #state = :state, job = :job", state="erasing", job=job)
        self.client.delete_item(TableName=self.table, Key=_item(WAITING, digest))

    def finish(self, digest: str, certificate: str, at: datetime) -> None:
        """Say at a request where its certificate is, and forget who it was about."""
        change = "SET #state = :state, certificate = :certificate, done = :done REMOVE sealed"
        self._set(digest, change, state="erased", certificate=certificate, done=at.isoformat())

    def link(self, job: str, digest: str) -> dict[str, Any]:
        """Say which number the certificate of one in a job has, and the digest of the one before: always the same."""
        name = f"link/{digest}"
        found = self.find(CHAIN, HEAD)
        first = {"number": 1, "previous": None}
        self.note(job, name, json.loads(found["link"]["S"]) if found else first, once=True)
        said: dict[str, Any] = self.notes(job, name)[name]
        return said

    def chain(self, link: Mapping[str, Any]) -> None:
        """Keep what the next certificate has to say of the newest."""
        self._put(CHAIN, HEAD, once=False, link={"S": json.dumps(link)})

    def note(self, job: str, what: str, said: Any, *, once: bool = False) -> bool:
        """Write down what a job found or did; `once`, unless it was written down before; tell whether it was."""
        return self._put(_job(job), what, once=once, said={"S": json.dumps(said)})

    def notes(self, job: str, what: str = "") -> dict[str, Any]:
        """Read what a job wrote down, by its name."""
        found = {item["item"]["S"]: item["said"]["S"] for item in self.all(_job(job)) if "said" in item}
        return {name: json.loads(said) for name, said in found.items() if name.startswith(what)}

    def find(self, subject: str, item: str) -> dict[str, Any] | None:
        """Read an item as of now."""
        answer = self.client.get_item(TableName=self.table, Key=_item(subject, item), ConsistentRead=True)
        found: dict[str, Any] | None = answer.get("Item")
        return found

    def all(self, subject: str, since: str = "") -> Iterator[dict[str, Any]]:
        """Read all items of a subject as of now, in their order."""
        values = {":subject": {"S": subject}} | ({":since": {"S": since}} if since else {})
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="#s = :subject" + (" AND #i >= :since" if since else ""),
            ExpressionAttributeNames=NAMES | ({"#i": "item"} if since else {}),
            ExpressionAttributeValues=values,
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def _put(self, subject: str, item: str, *, once: bool = True, **attributes: Any) -> bool:
        put = _put(self.table, _item(subject, item, **attributes), once=once)["Put"]
        try:
            self.client.put_item(**put)
        except ClientError as error:
            return _unless_taken(error)
        return True

    def _set(self, digest: str, change: str, **values: str) -> None:
        self.client.update_item(
            TableName=self.table,
            Key=_item(digest, REQUEST),
            UpdateExpression=change,
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={f":{name}": {"S": value} for name, value in values.items()},
        )


def _item(subject: str, item: str, **attributes: Any) -> dict[str, Any]:
    return {"subject": {"S": subject}, "item": {"S": item}, **attributes}


def _put(table: str, item: dict[str, Any], *, once: bool = False) -> dict[str, Any]:
    condition = {"ConditionExpression": "attribute_not_exists(#s)", "ExpressionAttributeNames": NAMES} if once else {}
    return {"Put": {"TableName": table, "Item": item, **condition}}


def _job(job: str) -> str:
    return f"job/{job}"


def _unless_taken(error: ClientError) -> bool:
    """Return False where a condition did not hold; raise any other error on."""
    if error.response["Error"]["Code"] != TAKEN:
        raise error
    return False
