"""Publish a dataset's answers under differential privacy: show the error first, have it released, read the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import boto3

from clients.privacy.jobs import CannotBePublished, have_run
from domain.privacy.release import ledger
from domain.privacy.release.declaration import Dataset, Kind, RefusedRelease, check
from domain.privacy.release.plan import Plan, expected, plans
from domain.releases import RELEASES

JOB = "rivermill-release"
FINEST = 40  # halvings in the search for the least epsilon that would do


def dataset_of(name: str) -> Dataset:
    """Find a declared dataset."""
    if name not in RELEASES:
        raise RefusedRelease(
            "dataset", name, f"write one of {', '.join(RELEASES)}, or declare it in domain/releases.py"
        )
    check([RELEASES[name]])
    return RELEASES[name]


def day_of(text: str) -> date:
    """Read the day up to whose end rows count; yesterday (UTC) if nobody says."""
    if not text:
        return datetime.now(timezone.utc).date() - timedelta(days=1)
    today = datetime.now(timezone.utc).date()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise RefusedRelease("day", text, "write YYYY-MM-DD") from None
    if day > today:  # its answers would be kept, and stand when the day has come
        raise RefusedRelease("day", text, f"it has not come: write {today} or a day before")
    return day


def epsilon_from(text: str) -> float:
    """Read an epsilon."""
    try:
        return float(text)
    except ValueError:
        raise RefusedRelease("epsilon", text, "write a number above 0, as EPSILON=0.5") from None


def refuse_useless(dataset: Dataset, planned: tuple[Plan, ...], epsilon: float, left: float) -> None:
    """Refuse a release whose groups are too small for its noise, before anything is spent; say what would fit."""
    for number, plan in enumerate(planned):
        error, wanted = expected(plan), plan.question.within
        if error > wanted:
            least = enough(dataset, number, epsilon)
            fix = f"it would be off by {error:,.4g}; {wanted:,.4g} is the most worth publishing"
            fix += f", which takes EPSILON={least:g}" if least else ", which no budget of this dataset reaches"
            field = f"epsilon for {dataset.name}.{plan.question.name}"
            raise RefusedRelease(field, epsilon, f"{fix}; {left:g} is left")


def enough(dataset: Dataset, number: int, epsilon: float) -> float | None:
    """Find the least epsilon at which a question's expected error is small enough."""

    def does(tried: float) -> bool:
        plan = plans(dataset, tried)[number]
        return expected(plan) <= plan.question.within

    low, high = epsilon, dataset.epsilon
    if not does(high):
        return None
    for _ in range(FINEST):
        middle = (low + high) / 2
        low, high = (low, middle) if does(middle) else (middle, high)
    return round(high + 5e-5, 4) if high < dataset.epsilon else high


def foretold(planned: tuple[Plan, ...], epsilon: float) -> Iterator[str]:
    """Tell the error of each question before it is asked."""
    dataset = planned[0].dataset
    yield f"{dataset.name} at epsilon {epsilon:g}, delta {dataset.delta:g}, for all rows of one {dataset.subject}:"
    for plan in planned:
        unit = " rows of rank" if plan.question.kind is Kind.QUANTILE else ""
        yield f"  {plan.question.name:<20}{plan.question.kind.value:<10} within ±{expected(plan):,.4g}{unit}"
    yield f"  (95 of 100 answers, if there are about {dataset.about:,} rows; clamped values are not in it)"


def lines(planned: tuple[Plan, ...], answers: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Tell the answers, each with its bound of error."""
    for plan in planned:
        for row in answers[plan.question.name]:
            yield f"{plan.question.name:<20}{label(row):<24}{figure(row)}"


def label(row: dict[str, Any]) -> str:
    """Name a row by its group and its bin."""
    parts = [f"{name}={value}" for name, value in row["key"].items()]
    if "bin" in row:
        low, high = row["bin"]
        parts.append(f"< {high:g}" if low is None else f">= {low:g}" if high is None else f"{low:g} to {high:g}")
    return ", ".join(parts)


def figure(row: dict[str, Any]) -> str:
    """Write a value with its error."""
    return "too few to tell" if row["value"] is None else f"{row['value']:>14,.6g} ±{row['error']:,.4g}"


def stored(dataset: Dataset, planned: tuple[Plan, ...], day: date) -> dict[str, Any]:
    """Read the answers that are kept already, by the question's name."""
    client, found = boto3.client("dynamodb"), {}
    for plan in planned:
        item = ledger.key(dataset, ledger.item(ledger.digest(plan, day)))
        answer = client.get_item(TableName=ledger.TABLE, Key=item, ConsistentRead=True).get("Item", {}).get("answer")
        if answer:
            found[plan.question.name] = json.loads(answer["S"])
    return found


def spent(dataset: Dataset) -> ledger.Units:
    """Read what a dataset's releases have spent."""
    client = boto3.client("dynamodb")
    try:
        account = client.get_item(
            TableName=ledger.TABLE, Key=ledger.key(dataset, ledger.BUDGET), ConsistentRead=True
        ).get("Item")
    except client.exceptions.ResourceNotFoundException:
        raise CannotBePublished(f"there is no table {ledger.TABLE}: deploy the stack Rivermill-Lake") from None
    return ledger.spent_of(account)


@dataclass(frozen=True, slots=True)
class Wanted:
    """All questions of a dataset at an epsilon, over the rows up to the end of a day."""

    dataset: Dataset
    epsilon: float
    day: date

    @property
    def planned(self) -> tuple[Plan, ...]:
        """How each question will be answered."""
        return plans(self.dataset, self.epsilon)

    def answers(self) -> dict[str, list[dict[str, Any]]]:
        """Read the answers that there are, by the question's name."""
        return stored(self.dataset, self.planned, self.day)

    def cost(self) -> ledger.Units:
        """Say what would be spent now; refuse what is not left, or not worth it, before a job starts."""
        before = spent(self.dataset)
        if self.epsilon > self.dataset.epsilon:
            raise ledger.exceeded(self.dataset, self.epsilon, before)
        refuse_useless(self.dataset, self.planned, self.epsilon, ledger.left(self.dataset, before))
        kept = self.answers()
        cost = ledger.charge([plan for plan in self.planned if plan.question.name not in kept])
        if not before + cost <= ledger.budget(self.dataset):
            raise ledger.exceeded(self.dataset, self.epsilon, before)
        return cost

    def have(self) -> dict[str, list[dict[str, Any]]]:
        """Return the answers, and have the job make those that there are not yet."""
        found = self.answers()
        if len(found) == len(self.planned):
            return found
        name, day = self.dataset.name, self.day.isoformat()
        run = f"release-{name}-{day}-{ledger.spelled(self.epsilon)}"
        have_run(JOB, {"--dataset": name, "--epsilon": repr(self.epsilon), "--day": day, "--run": run})
        return self.answers()

    def left(self) -> float:
        """Say which epsilon would still fit."""
        return ledger.left(self.dataset, spent(self.dataset))


def release(dataset_name: str, epsilon_text: str, day_text: str = "", *, dry: bool = False) -> None:
    """Publish, and print: the error to expect, what is left, the answers; `dry` stops before anything is spent."""
    wanted = Wanted(dataset_of(dataset_name), epsilon_from(epsilon_text), day_of(day_text))
    dataset, epsilon = wanted.dataset, wanted.epsilon
    if epsilon <= dataset.epsilon:
        print("\n".join(foretold(wanted.planned, epsilon)))
    cost = wanted.cost()
    print(f"  {wanted.left():g} of {dataset.epsilon:g} is left; this takes {share(dataset, cost):.3g} %")
    if dry:
        return
    print("\n".join(lines(wanted.planned, wanted.have())))
    place = ledger.place(dataset, wanted.day, epsilon)
    print(f"{place} in the lake's bucket; {wanted.left():g} of {dataset.epsilon:g} is left")


def share(dataset: Dataset, cost: ledger.Units) -> float:
    """Say how much of the whole budget a cost is, in per cent: losses add up, epsilons under zCDP do not."""
    return 100 * cost.loss / ledger.budget(dataset).loss
