"""The table in which bandits count their rewards and publish their shares, and learners note how far they have read.

Each counter says how far its shard was read when it was last raised, and is raised only from there on: whoever counts a
receipt twice, by a retry or beside another learner, raises it once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from domain.experiment.learning import Count

if TYPE_CHECKING:
    from domain.experiment.evidence import Evidence, Sums

MOVED = "ConditionalCheckFailedException"
STATE = "state"
COUNTER = "counter/"
EVIDENCE = "evidence/"
READ = "(read)"
"""Stands in the place of an experiment where a learner notes its position in a shard."""

ROUNDING = 1e-6
DIGITS = 60  # a position, so that text order is its order


class Unreadable(ValueError):
    """An item that no function of ours wrote as it is; the message names it and says what is wrong."""


@dataclass(frozen=True, slots=True)
class Regressed:
    """What a contextual policy publishes in the place of shares: what it has learned of its arms, as bytes.

    `fingerprint` names the features that it was learned of.
    """

    arms: tuple[str, ...]
    fingerprint: str
    said: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """A bandit's shares by arm, or what it learned of contexts, the version that it is, and since when."""

    arm_to_share: Mapping[str, float]
    version: int
    at: datetime
    regressed: Regressed | None = None


@dataclass(frozen=True, slots=True)
class Bandits:
    """One DynamoDB table; `client` is boto3's."""

    client: Any
    table: str

    def published(self, experiment: str, *, consistent: bool = False) -> Published | None:
        """Read what a bandit published last, if it did; raise Unreadable for what none publishes."""
        item = self._find(experiment, STATE, consistent=consistent)
        return None if item is None else _published(experiment, item)

    def publish(
        self,
        experiment: str,
        arm_to_share: Mapping[str, float],
        version: int,
        at: datetime,
        regressed: Regressed | None = None,
    ) -> bool:
        """Publish shares as the version after `version` (0 for none); tell whether nobody else did before."""
        learned: dict[str, Any] = {}
        if regressed:
            arms = {"L": [{"S": arm} for arm in regressed.arms]}
            learned = {"arms": arms, "features": {"S": regressed.fingerprint}, "learned": {"B": regressed.said}}
        try:
            self.client.put_item(
                TableName=self.table,
                Item={
                    **_key(experiment, STATE),
                    "shares": {"M": {arm: {"N": repr(float(share))} for arm, share in arm_to_share.items()}},
                    "version": {"N": str(version + 1)},
                    "at": {"S": at.isoformat()},
                    **learned,
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
        raised = _raised(arm_to_count, position)
        raised["ConditionExpression"] = "attribute_not_exists(#position) OR #position < :position"
        return self._update(_key(experiment, f"{COUNTER}{bucket}/{shard}"), raised)

    def add_evidence(self, experiment: str, bucket: str, shard: str, sums: Sums, position: int) -> bool:
        """Raise a counter as `add` does, and beside it what contexts say.

        Evidence has more numbers than one expression holds: it is read and written back, on the condition that nobody
        has written since.
        """
        from domain.experiment.evidence import of_text, text, together  # noqa: PLC0415 - decide has no use for it

        item, name = f"{COUNTER}{bucket}/{shard}", EVIDENCE + sums.fingerprint
        while True:
            before = self._find(experiment, item, consistent=True) or {}
            if before and before["position"]["S"] >= _written(position):
                return False
            known = of_text(before[name]["S"]) if name in before else {}
            raised = _raised(sums.counts, position, (name, text(together(known, sums.evidence))))
            raised["ConditionExpression"] = "attribute_not_exists(#position)"
            if before:
                raised["ConditionExpression"] = "#position = :before"
                raised["ExpressionAttributeValues"][":before"] = before["position"]
            if self._update(_key(experiment, item), raised):
                return True

    def _update(self, key: dict[str, Any], raised: dict[str, Any]) -> bool:
        try:
            self.client.update_item(TableName=self.table, Key=key, **raised)
        except ClientError as error:
            return _unless_moved(error)
        return True

    def counts(self, experiment: str, oldest: str) -> Iterator[tuple[str, dict[str, Count]]]:
        """Read a bandit's counters from a bucket on, as of now."""
        for item in self._counters(experiment, oldest):
            yield _bucket(item), _counts(item)

    def evidence(self, experiment: str, oldest: str, fingerprint: str) -> Iterator[tuple[str, dict[str, Evidence]]]:
        """Read what contexts of the fingerprint's features have said from a bucket on, as of now."""
        from domain.experiment.evidence import of_text  # noqa: PLC0415 - as above

        for item in self._counters(experiment, oldest):
            if EVIDENCE + fingerprint in item:
                yield _bucket(item), of_text(item[EVIDENCE + fingerprint]["S"])

    def _counters(self, experiment: str, oldest: str) -> Iterator[dict[str, Any]]:
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
            yield from page["Items"]

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


def _raised(
    arm_to_count: Mapping[str, Count], position: int, evidence: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Write what raises a counter, and what sets its position and its evidence, a name and a text."""
    names, values = {"#position": "position"}, {":position": {"S": _written(position)}}
    setting, raised = ["#position = :position"], []
    if evidence:
        names["#evidence"], values[":evidence"] = evidence[0], {"S": evidence[1]}
        setting.append("#evidence = :evidence")
    for number, (arm, count) in enumerate(sorted(arm_to_count.items())):
        for part in ("pulls", "total", "squares"):
            names[f"#{part}{number}"] = f"{part}/{arm}"
            values[f":{part}{number}"] = {"N": str(getattr(count, part))}
            raised.append(f"#{part}{number} :{part}{number}")
    return {
        "UpdateExpression": f"SET {', '.join(setting)} ADD {', '.join(raised)}",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _published(experiment: str, item: dict[str, Any]) -> Published:
    try:
        arm_to_share = {arm: float(share["N"]) for arm, share in item["shares"]["M"].items()}
        moment = datetime.fromisoformat(item["at"]["S"])
        found = Published(arm_to_share, int(item["version"]["N"]), moment, _regressed(item))
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise Unreadable(f"{STATE} of {experiment!r}: {fault!r}") from fault
    total = math.fsum(arm_to_share.values())
    if min(arm_to_share.values(), default=0.0) < 0 or (arm_to_share and abs(total - 1) > ROUNDING):
        raise Unreadable(f"{STATE} of {experiment!r}: shares {arm_to_share} do not sum to one")
    return found


def _bucket(item: dict[str, Any]) -> str:
    name: str = item["item"]["S"].removeprefix(COUNTER).partition("/")[0]
    return name


def _regressed(item: dict[str, Any]) -> Regressed | None:
    if "learned" not in item:
        return None
    arms = tuple(arm["S"] for arm in item["arms"]["L"])
    return Regressed(arms, item["features"]["S"], bytes(item["learned"]["B"]))


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
