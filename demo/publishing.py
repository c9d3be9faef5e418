"""Publish a table anonymized and answers under differential privacy, beside the day's other work, and judge both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from clients.athena import ask, ask_by_column
from clients.privacy.anonymize import Published, publish
from clients.privacy.jobs import CannotBePublished
from clients.privacy.release import Wanted, label
from demo import claims, grouped
from demo.bounded import Row, drawn, exact, off
from demo.laptop import DemoFailed, Laptop
from domain.privacy.release.declaration import Dataset, RefusedRelease
from domain.privacy.release.plan import expected
from domain.publications import VISITORS
from domain.releases import SHOPPING

EPSILON, TOO_MUCH = 1.0, 3.9
AFTER = "Dataset"  # the day's last Spark job: from here on there is nothing to disturb, and time to wait for SageMaker
MANY = 1_000  # people; of fewer, no grouping may keep what is promised, and none is claimed


@dataclass(slots=True)
class Publishing:
    """Publishes in the background once the day's tables are written, while its model is trained and deployed."""

    laptop: Laptop
    day: date
    started: Future[dict[str, Any]] | None = field(default=None, init=False)

    def on_ended(self, state: str) -> None:
        """Start when the state has ended after which no table changes."""
        if state == AFTER and self.started is None:
            self.started = ThreadPoolExecutor(1).submit(published, self.day)

    def gathered(self, folder: Path) -> dict[str, Any]:
        """Wait for the end; return what the page shows, and the claims; nothing if the state never ended."""
        if self.started is None:
            return {"published": {}, "claims": []}
        try:
            found = self.started.result()
        except CannotBePublished as fault:
            raise DemoFailed(str(fault)) from fault
        table = anonymized(self.laptop, found["table"], folder) if found["table"] else {"refused": found["why"]}
        told = {"table": table, "answers": answered(found["answers"], self.day)}
        made = [*claims.about_anonymized(table, people(self.day) >= MANY), *claims.about_released(told["answers"])]
        return {"published": told, "claims": [claim.as_row() for claim in made]}


def published(day: date) -> dict[str, Any]:
    """Have the deployed jobs publish, one after the other; ask the same again, and then for more than is left."""
    found: dict[str, Any] = {"table": None, "why": ""}
    try:
        found["table"] = publish(VISITORS, day)
    except CannotBePublished as fault:
        if "RefusedPublication" not in str(fault):
            raise
        found["why"] = str(fault)
    return found | {"answers": released(SHOPPING, day)}


def released(dataset: Dataset, day: date) -> dict[str, Any]:
    """Release answers, ask for them again, and for too much; return the answers and what each of this left."""
    wanted = Wanted(dataset, EPSILON, day)
    wanted.cost()
    left = [wanted.left()]
    answers = wanted.have()
    left.append(wanted.left())
    again = Wanted(dataset, EPSILON, day)
    cost = again.cost()
    same = again.have() == answers
    left.append(again.left())
    try:
        Wanted(dataset, TOO_MUCH, day).cost()
        refusal = ""
    except RefusedRelease as refused:
        refusal = str(refused)
    return {"rows": answers, "left": left, "same": same, "free": not (cost.loss or cost.delta), "refusal": refusal}


def anonymized(laptop: Laptop, made: Published, folder: Path) -> dict[str, Any]:
    """Bring the files here, and measure them again."""
    report = made.report
    checked = grouped.measure(VISITORS, brought(laptop, made, folder))
    wanted = {name: {"diverse": each.diverse, "close": each.close} for name, each in VISITORS.sensitive.items()}
    return {"name": VISITORS.name, "k": VISITORS.k, "wanted": wanted, "checked": checked, "report": report}


def brought(laptop: Laptop, made: Published, folder: Path) -> list[Path]:
    """Bring a published table's files here."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / key.rpartition("/")[2] for key in made.report["files"]]
    for key, path in zip(made.report["files"], paths, strict=True):
        laptop.client("s3").download_file(made.bucket, key, str(path))
    return paths


def answered(found: Mapping[str, Any], day: date) -> dict[str, Any]:
    """Put each answer beside the truth: of all rows, and of those that the release may count."""
    rows = sessions(SHOPPING, day)
    wanted = Wanted(SHOPPING, EPSILON, day)
    told = [
        row
        for plan in wanted.planned
        for row in judged(plan.question.name, found["rows"][plan.question.name], rows, expected(plan))
    ]
    rest = {name: found[name] for name in ("left", "same", "free", "refusal")}
    return {"dataset": SHOPPING.name, "epsilon": EPSILON, "of": SHOPPING.epsilon, "rows": told, **rest}


def judged(name: str, answers: Sequence[Row], rows: Sequence[Row], foretold: float) -> Iterator[dict[str, Any]]:
    """Judge each answer of a question by the truth."""
    question = next(question for question in SHOPPING.questions if question.name == name)
    counted = drawn(SHOPPING, question, rows)
    for answer in answers:
        known = answer["value"] is not None
        yield {
            "question": name,
            "of": label(dict(answer)),
            "answer": answer["value"],
            "error": answer["error"],
            "foretold": foretold,
            "bounded": exact(question, counted, answer),
            "truth": exact(question, rows, answer),
            "within": off(question, counted, answer) <= answer["error"] if known else None,
        }


def sessions(dataset: Dataset, day: date) -> list[Row]:
    """Read from Athena what a release counts."""
    asked = [question.column for question in dataset.questions if question.column]
    texts = [name for question in dataset.questions for name in question.by]
    names = list(dict.fromkeys([dataset.subject, dataset.row, *texts, *asked]))
    sql = f"SELECT {', '.join(names)} FROM {dataset.table.full_name} WHERE {until(dataset.time, day)}"  # noqa: S608
    return [
        {name: float(value) if name in asked and value is not None else value for name, value in row.items()}
        for row in ask_by_column(sql)
    ]


def people(day: date) -> int:
    """Count who could be published."""
    table = VISITORS.table
    sql = f"SELECT count(DISTINCT {table.subject}) FROM {table.full_name} WHERE {until(VISITORS.newest, day)}"  # noqa: S608
    return int(ask(sql)[0][0])


def until(column: str, day: date) -> str:
    """Say in SQL that a time is no later than a day."""
    return f"{column} < TIMESTAMP '{day + timedelta(days=1)} 00:00:00 UTC'"
