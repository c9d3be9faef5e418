"""Keep the account of a dataset's budget: what a charge must find true, and under which name an answer is kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from domain.privacy.release.declaration import Dataset, RefusedRelease, canonical
from domain.privacy.release.plan import DELTA_UNIT, LOSS_UNIT, Plan, epsilon_of, loss_of, total_loss

TABLE = "rivermill-budgets"
BUDGET = "budget"
"""The item of a dataset's account; its answers are `answer#<digest>`."""


class BudgetExceeded(RefusedRelease):
    """A release would spend more than is left."""


DIGITS = 4
"""How finely an epsilon is told."""


@dataclass(frozen=True, slots=True)
class Units:
    """A loss and a delta in the account's whole units."""

    loss: int = 0
    delta: int = 0

    def __add__(self, other: Units) -> Units:
        """Add up two charges."""
        return Units(self.loss + other.loss, self.delta + other.delta)

    def __le__(self, other: Units) -> bool:
        """Tell whether both fit."""
        return self.loss <= other.loss and self.delta <= other.delta


def charge(planned: Sequence[Plan]) -> Units:
    """Sum up what questions cost, in the whole units that plans are made of.

    >>> charge([])
    Units(loss=0, delta=0)
    """
    return Units(
        sum(round(plan.loss * LOSS_UNIT) for plan in planned),
        sum(round(plan.delta * DELTA_UNIT) for plan in planned),
    )


def budget(dataset: Dataset) -> Units:
    """Say what a dataset may spend in all."""
    return Units(math.floor(total_loss(dataset) * LOSS_UNIT), math.floor(dataset.delta / 2 * DELTA_UNIT))


def left(dataset: Dataset, spent: Units) -> float:
    """Say which epsilon would still fit, rounded down to what a person types."""
    rest = max(0, budget(dataset).loss - spent.loss)
    near = round(epsilon_of(dataset, rest / LOSS_UNIT), DIGITS)
    fits = math.floor(loss_of(dataset, near) * LOSS_UNIT) <= rest if near else True
    return near if fits else round(near - 10**-DIGITS, DIGITS)


def exceeded(dataset: Dataset, epsilon: float, spent: Units) -> BudgetExceeded:
    """Say what is left and what would fit."""
    rest = left(dataset, spent)
    fix = f"{dataset.name} has {rest:g} left of {dataset.epsilon:g}"
    fix += f"; ask for EPSILON={rest:g} or less" if rest else "; its budget is spent"
    return BudgetExceeded("epsilon", epsilon, fix)


def epsilon_asked(planned: Sequence[Plan]) -> float:
    """Say which epsilon a person asked for, of which plans were made."""
    return round(epsilon_of(planned[0].dataset, sum(plan.loss for plan in planned)), 4)


def digest(planned: Plan, day: date) -> str:
    """Name a question by all that its answer depends on: two that are the same get the same answer."""
    dataset = planned.dataset
    asked = {
        "question": canonical(planned.question),
        "table": dataset.table.full_name,
        "of": [dataset.subject, dataset.row, dataset.time, dataset.rows_per_subject, dataset.groups_per_subject],
        "parts": [[part.name, part.bound, part.groups, f"{part.scale:.9g}", part.threshold] for part in planned.parts],
        "day": day.isoformat(),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]


def place(dataset: Dataset, day: date, epsilon: float) -> str:
    """Say where in the lake's bucket a release is published."""
    return f"published/releases/{dataset.name}/{day}/{spelled(epsilon)}.json"


def spelled(epsilon: float) -> str:
    """Write an epsilon as a person does, and no two the same.

    >>> spelled(2.0), spelled(0.1234567)
    ('2', '0.1234567')
    """
    short = f"{epsilon:g}"
    return short if float(short) == epsilon else repr(epsilon)


def item(name: str) -> str:
    """Name an answer's item."""
    return f"answer#{name}"


def key(dataset: Dataset, name: str) -> dict[str, Any]:
    """Write the key of an item as DynamoDB spells it."""
    return {"dataset": {"S": dataset.name}, "item": {"S": name}}


def spent_of(found: Mapping[str, Any] | None) -> Units:
    """Read an account's item."""
    found = found or {}
    return Units(int(found.get("loss", {}).get("N", 0)), int(found.get("delta", {}).get("N", 0)))


def transaction(table: str, dataset: Dataset, planned: Mapping[str, Plan], now: str) -> list[dict[str, Any]]:
    """Write the transaction that charges for questions (by digest) that nobody has asked, all of them or none.

    A condition holds no sums, so what is compared is the room that the charge needs; a first charge, which finds no
    account, is compared here.
    """
    cost, most = charge(list(planned.values())), budget(dataset)
    if not cost <= most:
        raise exceeded(dataset, epsilon_asked(list(planned.values())), Units())
    update = {
        "TableName": table,
        "Key": key(dataset, BUDGET),
        "UpdateExpression": "ADD #loss :loss, #delta :delta",
        "ConditionExpression": "attribute_not_exists(#loss) OR (#loss <= :room AND #delta <= :delta_room)",
        "ExpressionAttributeNames": {"#loss": "loss", "#delta": "delta"},
        "ExpressionAttributeValues": {
            ":loss": {"N": str(cost.loss)},
            ":delta": {"N": str(cost.delta)},
            ":room": {"N": str(most.loss - cost.loss)},
            ":delta_room": {"N": str(most.delta - cost.delta)},
        },
    }
    puts = [
        {
            "TableName": table,
            "Item": {
                **key(dataset, item(name)),
                "question": {"S": plan.question.name},
                "loss": {"N": str(charge([plan]).loss)},
                "delta": {"N": str(charge([plan]).delta)},
                "charged_at": {"S": now},
            },
            "ConditionExpression": "attribute_not_exists(#item)",
            "ExpressionAttributeNames": {"#item": "item"},
        }
        for name, plan in planned.items()
    ]
    return [{"Update": update}, *({"Put": put} for put in puts)]
