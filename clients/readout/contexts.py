"""Read from the table of decisions by which numbers a contextual policy chose."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import boto3

from clients.operations.functions import call
from clients.privacy import detokenize
from domain.experiment.features import read
from domain.privacy.domains import is_token

TABLE = "rivermill-decisions"
KEYS_A_REQUEST = 100  # BatchGetItem
PAUSE = 0.2  # seconds before what was not answered is asked for again


def contexts(experiment: str, units: Sequence[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Map units to the name of their features and their numbers, as far as they were decided by any."""
    named, found = called(experiment, units), {}
    names = list(named)
    for start in range(0, len(names), KEYS_A_REQUEST):
        wanted = {"S": f"decision/{experiment}"}
        keys = [{"unit": {"S": name}, "item": wanted} for name in names[start : start + KEYS_A_REQUEST]]
        for item in _items(keys):
            if "features" in item:
                found[named[item["unit"]["S"]]] = read(item["features"]["S"])
    return found


def called(experiment: str, units: Sequence[str]) -> dict[str, str]:
    """Map what decisions call units to what the lake calls them: where that is tokens, the steward's function knows."""
    tokens = [unit for unit in units if is_token(unit)]
    purpose = f"value the policy of {experiment}"
    known = detokenize.units(call, tokens, purpose=purpose, who=detokenize.me()) if tokens else {}
    return {known.get(unit, unit): unit for unit in units}


def _items(keys: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    client = boto3.client("dynamodb")
    while keys:
        answer = client.batch_get_item(RequestItems={TABLE: {"Keys": keys}})
        yield from answer["Responses"].get(TABLE, ())
        keys = answer.get("UnprocessedKeys", {}).get(TABLE, {}).get("Keys", [])
        if keys:
            time.sleep(PAUSE)
