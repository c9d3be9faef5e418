"""The table of what was decided for each unit, and of what came back: all that is known of a unit lies together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from domain.experiment.decision import Decision
from domain.experiment.features import read, written
from domain.experiment.learning import Feedback, Kept
from lambdas.experiment.bandits import Unreadable

TAKEN = "ConditionalCheckFailedException"
KEYS_A_REQUEST = 100  # BatchGetItem
WRITERS = 16
KEPT_FOR = timedelta(days=400)
"""How long a decision and its rewards are known; no experiment runs as long, and no record comes again after it."""

Key = tuple[str, str]
"""An experiment and a unit."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What became of a reward when it was first seen: in which receipt, and the reason if it does not count."""

    receipt: str
    refused: str | None


@dataclass(frozen=True, slots=True)
class Decisions:
    """One DynamoDB table; `client` is boto3's."""

    client: Any
    table: str

    def keep(
        self, decision: Decision, at: datetime, fingerprint: str = "", features: Sequence[int] = ()
    ) -> Kept | None:
        """Write a decision down unless the unit has one in this experiment; return the one that stood before, if any.

        With it the numbers by which a contextual policy chose, since rewards are learned from with them.
        One conditional write: of a thousand at the same time one is first, and the others get that one back.
        """
        item = {
            **_key(decision.unit, _decision(decision.experiment)),
            "arm": {"S": decision.arm},
            "propensity": {"N": repr(decision.propensity)},
            "decided_at": {"S": at.isoformat()},
            "expires_at": _expiry(at),
            **({"features": {"S": written(fingerprint, features)}} if features else {}),
        }
        try:
            self._put_if_absent(item)
        except ClientError as error:
            return _kept(_standing(error))
        return None

    def of(self, keys: Sequence[Key]) -> dict[Key, Kept]:
        """Read what was decided for units, as of now."""
        found: dict[Key, Kept] = {}
        wanted = [_key(unit, _decision(experiment)) for experiment, unit in dict.fromkeys(keys)]
        for request in _chunks(wanted, KEYS_A_REQUEST):
            for item in self._get(request):
                found[item["item"]["S"].partition("/")[2], item["unit"]["S"]] = _kept(item)
        return found

    def mark(self, feedback: Feedback, receipt: str, refused: str | None, at: datetime) -> Mark:
        """Write down that a reward has come, unless it came before; return what was written first."""
        item = {
            **_key(feedback.unit, f"reward/{feedback.event_id}"),
            "experiment": {"S": feedback.experiment},
            "arm": {"S": feedback.arm},
            "receipt": {"S": receipt},
            "expires_at": _expiry(at),
            **({"refused": {"S": refused}} if refused else {}),
        }
        try:
            self._put_if_absent(item)
        except ClientError as error:
            before = _standing(error)
            return Mark(before["receipt"]["S"], before.get("refused", {}).get("S"))
        return Mark(receipt, refused)

    def mark_all(self, judged: Sequence[tuple[Feedback, str | None]], receipt: str, at: datetime) -> list[Mark]:
        """Mark several rewards, some at a time; in their order."""
        if not judged:
            return []
        with ThreadPoolExecutor(WRITERS) as pool:
            return list(pool.map(lambda one: self.mark(one[0], receipt, one[1], at), judged))

    def _put_if_absent(self, item: dict[str, Any]) -> None:
        self.client.put_item(
            TableName=self.table,
            Item=item,
            ConditionExpression="attribute_not_exists(#unit)",
            ExpressionAttributeNames={"#unit": "unit"},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    def _get(self, keys: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        pause = 0.05
        while keys:
            answer = self.client.batch_get_item(RequestItems={self.table: {"Keys": keys, "ConsistentRead": True}})
            yield from answer["Responses"].get(self.table, ())
            keys = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            if keys:
                time.sleep(pause)
                pause = min(pause * 2, 2.0)


def _key(unit: str, item: str) -> dict[str, Any]:
    return {"unit": {"S": unit}, "item": {"S": item}}


def _decision(experiment: str) -> str:
    return f"decision/{experiment}"


def _expiry(at: datetime) -> dict[str, str]:
    return {"N": str(int((at + KEPT_FOR).timestamp()))}


def _standing(error: ClientError) -> dict[str, Any]:
    """Read the item that stood in the way; raise any other error on."""
    if error.response["Error"]["Code"] != TAKEN:
        raise error
    found: dict[str, Any] = error.response["Item"]
    return found


def _kept(item: dict[str, Any]) -> Kept:
    """Read a decision; raise Unreadable for an item that is none."""
    try:
        moment = datetime.fromisoformat(item["decided_at"]["S"])
        by = read(item.get("features", {}).get("S", ""))
        return Kept(item["arm"]["S"], float(item["propensity"]["N"]), moment, *by)
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise Unreadable(f"{item.get('item', {}).get('S')}: {fault!r}") from fault


def _chunks(values: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    source = iter(values)
    while chunk := list(islice(source, size)):
        yield chunk
