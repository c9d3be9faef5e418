"""The table in which bandits count their rewards and publish their shares, and learners note how far they have read.

Each counter says how far its shard was read when it was last raised, and is raised only from there on: whoever counts a
receipt twice, by a retry or beside another learner, raises it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from domain.experiment.learning import Count

MOVED = "ConditionalCheckFailedException"
STATE = "state"
COUNTER = "counter/"
READ = "(read)"
"""Stands in the place of an experiment where a learner notes its position in a shard."""

DIGITS = 60  # a position, so that text order is its order


@dataclass(frozen=True, slots=True)
class Published:
    """A bandit's shares by arm, the version that they are, and since when."""

    arm_to_share: Mapping[str, float]
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Bandits:
    """One DynamoDB table; `client` is boto3's."""

    client: Any
    table: str

    def published(self, experiment: str, *, consistent: bool = False) -> Published | None:
        """Read what a bandit published last, if it did."""
        item = self._find(experiment, STATE, consistent=consistent)
        if item is None:
            return None
        arm_to_share = {arm: float(share["N"]) for arm, share in item["shares"]["M"].items()}
        return Published(arm_to_share, int(item["version"]["N"]), datetime.fromisoformat(item["at"]["S"]))

    def publish(self, experiment: str, arm_to_share: Mapping[str, float], version: int, at: datetime) -> bool:
        """Publish shares as the version after `version` (0 for none); tell whether nobody else did before."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item={
                    **_key(experiment, STATE),
                    "shares": {"M": {arm: {"N": repr(float(share))} for arm, share in arm_to_share.items()}},
                    "version": {"N": str(version + 1)},
                    "at": {"S": at.isoformat()},
                },
                ConditionExpression="attribute_not_exists(#version) OR #version = :version",
                ExpressionAttributeNames={"#version": "version"},
                ExpressionAttributeValues={":version": {"N": str(version)}},
            )
        except ClientError as error:
            return _unless_moved(error)
        return True

    def add(self, experiment: str, bucket: str, shard: str, arm_to_count: Mapping[str, Count], position: int) -> bool:
        """Raise a counter by what a shard holds up to a position; tell whether it was not raised by that before."""
        names, values = {"#position": "position"}, {":position": {"S": _written(position)}}
        raised = []
        for number, (arm, count) in enumerate(sorted(arm_to_count.items())):
            for field in ("pulls", "total", "squares"):
                names[f"#{field}{number}"] = f"{field}/{arm}"
                values[f":{field}{number}"] = {"N": str(getattr(count, field))}
                raised.append(f"#{field}{number} :{field}{number}")
        try:
            self.client.update_item(
                TableName=self.table,
                Key=_key(experiment, f"{COUNTER}{bucket}/{shard}"),
                UpdateExpression=f"SET #position = :position ADD {', '.join(raised)}",
                ConditionExpression="attribute_not_exists(#position) OR #position < :position",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            return _unless_moved(error)
        return True

    def counts(self, experiment: str, oldest: str) -> Iterator[tuple[str, dict[str, Count]]]:
        """Read a bandit's counters from a bucket on, as of now."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            ConsistentRead=True,
            KeyConditionExpression="#experiment = :experiment AND #item BETWEEN :oldest AND :last",
            ExpressionAttributeNames={"#experiment": "experiment", "#item": "item"},
            ExpressionAttributeValues={
                ":experiment": {"S": experiment},
                ":oldest": {"S": f"{COUNTER}{oldest}"},
                ":last": {"S": f"{COUNTER}~"},
            },
        )
        for page in pages:
            for item in page["Items"]:
                yield item["item"]["S"].removeprefix(COUNTER).partition("/")[0], _counts(item)

    def position(self, shard: str) -> int | None:
        """Say how far a shard has been read, if it has."""
        item = self._find(READ, shard, consistent=True)
        return None if item is None else int(item["position"]["S"])

    def advance(self, shard: str, position: int) -> None:
        """Note how far a shard has been read; a learner that lags behind another changes nothing."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item={**_key(READ, shard), "position": {"S": _written(position)}},
                ConditionExpression="attribute_not_exists(#position) OR #position < :position",
                ExpressionAttributeNames={"#position": "position"},
                ExpressionAttributeValues={":position": {"S": _written(position)}},
            )
        except ClientError as error:
            _unless_moved(error)

    def _find(self, experiment: str, item: str, *, consistent: bool) -> dict[str, Any] | None:
        answer = self.client.get_item(TableName=self.table, Key=_key(experiment, item), ConsistentRead=consistent)
        found: dict[str, Any] | None = answer.get("Item")
        return found


def _key(experiment: str, item: str) -> dict[str, Any]:
    return {"experiment": {"S": experiment}, "item": {"S": item}}


def _written(position: int) -> str:
    return f"{position:0{DIGITS}d}"


def _unless_moved(error: ClientError) -> bool:
    """Return False if another was first; raise any other error on."""
    if error.response["Error"]["Code"] != MOVED:
        raise error
    return False


def _counts(item: dict[str, Any]) -> dict[str, Count]:
    arms = [name.partition("/")[2] for name in item if name.startswith("pulls/")]
    return {arm: Count(*(int(item[f"{field}/{arm}"]["N"]) for field in ("pulls", "total", "squares"))) for arm in arms}
