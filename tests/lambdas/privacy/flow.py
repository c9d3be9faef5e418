"""Play an erasure's steps as the state machine does, and kill it at any call of AWS on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from domain.privacy import residue
from lambdas.privacy import erasure, request
from tests.lambdas.ingest.conftest import BUCKET, Lake, Remaining

MOST_STEPS = 60
READS = ("Get", "List", "Describe", "Query", "Head", "Decrypt")


class Killed(BaseException):
    """The process ends here; nothing of ours may catch it."""


def ask(*subjects: str) -> dict[str, Any]:
    """Request some people's removal; return what the function answers."""
    return request.handler({"subjects": list(subjects), "who": "a test"}, None)


def play(lake: Lake, execution: str) -> list[str]:
    """Take every step of an execution to its end; return the names of those taken."""
    taken: list[str] = []

    def step(name: str, /, **event: Any) -> dict[str, Any]:
        taken.append(name)
        assert len(taken) < MOST_STEPS, taken
        answer = erasure.handler({"step": name, **event}, Remaining(900))
        assert len(json.dumps(answer)) < 256 * 1024
        return answer

    while (begun := step("begin", execution=execution))["state"] == "begun":
        job = begun["job"]
        assert step("quiet", job=job, since="2026-03-01T00:00:00Z")["quiet"]
        lake.commit()
        found = step("find", job=job)
        step("forget", job=job)
        state = "found"
        for since in rounds():
            for batch in found["batches"] if state == "found" else ():
                step("tables", job=job, **batch)
            if (state := swept(step, job, since)) == "clean":
                break
            if state == "found":
                lake.commit()
        step("certify", job=job, execution=execution)
    return taken


def rounds() -> Iterator[str]:
    """Name the sweeps of a job in their order, each later than those of an execution before it."""
    for _ in range(MOST_STEPS):
        yield erasure._now().isoformat()


def swept(step: Any, job: str, since: str) -> str:
    """Sweep the whole bucket, however many invocations it takes."""
    after: dict[str, str] = {}
    while (answer := step("sweep", job=job, since=since, after=after))["state"] == "more":
        after = answer["after"]
    return str(answer["state"])


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[str]]:
    """End the process before the call of AWS with a number; a later one than there is ends nothing."""
    calls: list[str] = []
    real = BaseClient._make_api_call

    def call(client: BaseClient, operation: str, kwargs: Any) -> Any:
        if not operation.startswith(READS):
            calls.append(operation)
            if len(calls) == number:
                raise Killed(operation)
        return real(client, operation, kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", call)
        yield calls


def everywhere(subjects: Sequence[str]) -> dict[str, set[str]]:
    """Name the objects, in all their versions, that hold some of the subjects."""
    s3, found = boto3.client("s3"), {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for item in page.get("Versions", ()):
            body = s3.get_object(Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"])["Body"].read()
            if held := residue.found(body, subjects):
                found[f"{item['Key']} {item['VersionId']}"] = held
    return found


def items(table: str) -> list[dict[str, Any]]:
    """Read a whole DynamoDB table."""
    return list(boto3.client("dynamodb").scan(TableName=table)["Items"])
