"""Read from the table of decisions by which numbers a contextual policy chose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import boto3

from domain.experiment.features import read

TABLE = "rivermill-decisions"
KEYS_A_REQUEST = 100  # BatchGetItem
PAUSE = 0.2  # seconds before what was not answered is asked for again


def contexts(experiment: str, units: Sequence[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Map units to the name of their features and their numbers, as far as they were decided by any."""
    found = {}
    for start in range(0, len(units), KEYS_A_REQUEST):
        wanted = {"S": f"decision/{experiment}"}
        keys = [{"unit": {"S": unit}, "item": wanted} for unit in units[start : start + KEYS_A_REQUEST]]
        for item in _items(keys):
            if "features" in item:
                found[item["unit"]["S"]] = read(item["features"]["S"])
    return found


def _items(keys: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    client = boto3.client("dynamodb")
    while keys:
        answer = client.batch_get_item(RequestItems={TABLE: {"Keys": keys}})
        yield from answer["Responses"].get(TABLE, ())
        keys = answer.get("UnprocessedKeys", {}).get(TABLE, {}).get("Keys", [])
        if keys:
            time.sleep(PAUSE)
