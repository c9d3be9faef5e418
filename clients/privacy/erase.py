"""Have people erased, wait for the end, and keep the certificates and the key that checks them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives import serialization

from clients.operations.functions import Call, CannotBeDone

REQUEST = "rivermill-erasure-request"
KEY = "alias/rivermill-certificates"
STACK, BUCKET = "Rivermill-Lake", "Bucket"
FOLDER = Path("build/certificates")
PUBLIC_KEY = "public-key.pem"
PAUSE = 1.0
ODD = "is spelled like a token and is none of ours: it is taken for a name; was it copied whole?"


def erase(call: Call, subjects: Sequence[str], folder: Path = FOLDER) -> list[Path]:
    """Ask for some people's removal and wait until each has a certificate; return the certificates' files."""
    who = boto3.client("sts").get_caller_identity()["Arn"]
    asked = call(REQUEST, subjects=list(subjects), who=who)
    digests = [str(each["subject"]) for each in asked["requests"]]
    print("".join(f"subject {place} {ODD}\n" for place in odd(asked["requests"])), end="", file=sys.stderr)
    follow(asked["execution"])
    ended = call(REQUEST, digests=digests)["requests"]
    while waiting := [each for each in ended if each["state"] != "erased"]:
        # Another execution has them in its job, or this one's failed after it had taken them.
        again = call(REQUEST)["execution"]
        if again is None:
            raise CannotBeDone(f"{len(waiting)} requests are not done and no job is at work; see rivermill-erase")
        follow(again)
        ended = call(REQUEST, digests=digests)["requests"]
    return keep([str(each["certificate"]) for each in ended], folder)


def odd(requests: Sequence[dict[str, Any]]) -> list[int]:
    """Give the places, from one, of those who may be nobody, as a token that was copied wrongly is."""
    return [place for place, each in enumerate(requests, 1) if each.get("is_like_a_token")]


def follow(execution: str | None) -> None:
    """Wait for the end of an execution; raise CannotBeDone with its reason if it fails."""
    client = boto3.client("stepfunctions")
    while execution:
        found = client.describe_execution(executionArn=execution)
        if found["status"] == "SUCCEEDED":
            return
        if found["status"] != "RUNNING":
            raise CannotBeDone(f"the erasure ended as {found['status']}: {found.get('error')}: {found.get('cause')}")
        time.sleep(PAUSE)


def keep(keys: Sequence[str], folder: Path) -> list[Path]:
    """Bring certificates, and the public key that they are checked with, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PUBLIC_KEY).write_bytes(public_key())
    kept = []
    for key in keys:
        body = boto3.client("s3").get_object(Bucket=bucket(), Key=key)["Body"].read()
        path = folder / key.rpartition("/")[2]
        path.write_bytes(body)
        kept.append(path)
    return kept


def public_key() -> bytes:
    """Fetch the public key, in PEM as anybody's tools read it."""
    der = boto3.client("kms").get_public_key(KeyId=KEY)["PublicKey"]
    key = serialization.load_der_public_key(der)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def bucket() -> str:
    """Find the lake's bucket by its stack's output."""
    [stack] = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return next(str(output["OutputValue"]) for output in stack["Outputs"] if output["OutputKey"] == BUCKET)


def told(path: Path) -> dict[str, Any]:
    """Read what a certificate says."""
    said: dict[str, Any] = json.loads(path.read_bytes())["certificate"]
    return said
