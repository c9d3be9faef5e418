"""Charge a dataset's account in DynamoDB before there is any noise, and keep each answer once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import boto3

from domain.privacy.release import ledger as rules
from domain.privacy.release.declaration import Dataset
from domain.privacy.release.plan import Plan

ATTEMPTS = 20
"""Others may charge or ask the same meanwhile; each time somebody got further, so it ends."""


@cache
def dynamodb() -> Any:
    """Connect to DynamoDB."""
    return boto3.client("dynamodb")


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account and the answers of one dataset."""

    dataset: Dataset
    client: Callable[[], Any] = dynamodb
    table: str = rules.TABLE

    def spent(self) -> rules.Units:
        """Read what was spent so far."""
        return rules.spent_of(self._get(rules.BUDGET))

    def answer(self, digest: str) -> Any:
        """Return a question's answer, if it has one."""
        found = self._get(rules.item(digest)) or {}
        return json.loads(found["answer"]["S"]) if "answer" in found else None

    def charge(self, planned: Mapping[str, Plan]) -> rules.Units:
        """Charge for those of the questions (by digest) that nobody has been charged for; refuse what does not fit."""
        client = self.client()
        for _ in range(ATTEMPTS):
            new = {digest: plan for digest, plan in planned.items() if not self._get(rules.item(digest))}
            if not new:
                return rules.Units()
            now = datetime.now(timezone.utc).isoformat()
            cost = rules.charge(list(new.values()))
            try:
                client.transact_write_items(TransactItems=rules.transaction(self.table, self.dataset, new, now))
            except client.exceptions.TransactionCanceledException:
                spent = self.spent()
                if not spent + cost <= rules.budget(self.dataset):
                    raise rules.exceeded(self.dataset, rules.epsilon_asked(list(new.values())), spent) from None
            else:
                return cost
        raise TimeoutError(f"{self.dataset.name}: others charged at the same time, {ATTEMPTS} times over; ask again")

    def keep(self, digest: str, answer: Any) -> Any:
        """Keep an answer, unless there is one already; return the one that is kept, which alone may be published."""
        client = self.client()
        try:
            client.update_item(
                TableName=self.table,
                Key=rules.key(self.dataset, rules.item(digest)),
                UpdateExpression="SET #answer = :answer",
                ConditionExpression="attribute_exists(charged_at) AND attribute_not_exists(#answer)",
                ExpressionAttributeNames={"#answer": "answer"},
                ExpressionAttributeValues={":answer": {"S": json.dumps(answer)}},
            )
        except client.exceptions.ConditionalCheckFailedException:
            kept = self.answer(digest)
            if kept is None:
                raise LookupError(
                    f"{self.dataset.name}: {digest} was never charged, so it cannot be answered"
                ) from None
            return kept
        return answer

    def _get(self, name: str) -> dict[str, Any] | None:
        found = self.client().get_item(TableName=self.table, Key=rules.key(self.dataset, name), ConsistentRead=True)
        item: dict[str, Any] | None = found.get("Item")
        return item
