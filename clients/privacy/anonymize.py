"""Publish a table with each person in a group, and tell what risk is left and what was lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import boto3

from clients.privacy.jobs import have_run
from clients.privacy.release import day_of
from domain.privacy.anonymize.declaration import Publication, RefusedPublication, check
from domain.publications import PUBLICATIONS

JOB = "rivermill-anonymize"


@dataclass(frozen=True, slots=True)
class Published:
    """A table as it was published: the bucket, the folder of its files, the job's report."""

    bucket: str
    prefix: str
    report: dict[str, Any]


def publication_of(name: str) -> Publication:
    """Find a declared publication; what is declared wrongly is refused here, before the job starts."""
    if name not in PUBLICATIONS:
        fix = f"write one of {', '.join(PUBLICATIONS)}, or declare it in domain/publications.py"
        raise RefusedPublication("publication", name, fix)
    check([PUBLICATIONS[name]])
    return PUBLICATIONS[name]


def lines(told: dict[str, Any]) -> Iterator[str]:
    """Tell a report: what the rows were, and what they are as published."""
    yield f"{told['people']:,} people, {told['suppressed'] + told['left_out']:,} of them left out"
    yield f"{'':<34}{'as they were':>14}{'as published':>14}"
    for name, before, after in measures(told):
        yield f"{name:<34}{before:>14,.5g}{after:>14,.5g}"


def measures(told: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Give each measure of a report by its name, before and after."""
    before, after = told["before"], told["after"]
    for name, path in FIGURES.items():
        yield name, _at(before, path), _at(after, path)
    for field in (name for name, value in before.items() if isinstance(value, Mapping) and "close" in value):
        for name, kind in (("values", "distinct"), ("by entropy", "entropy"), ("from all", "close")):
            yield f"{field}: {name}", before[field][kind], after[field][kind]


FIGURES = {
    "smallest group (k)": "k",
    "groups": "groups",
    "prosecutor's risk, highest": "prosecutor.highest",
    "prosecutor's risk, average": "prosecutor.average",
    "people at a risk above 0.2": "prosecutor.at_risk",
    "marketer's risk": "marketer",
    "information lost (0 to 1)": "loss",
}


def _at(figures: Mapping[str, Any], path: str) -> float:
    found: Any = figures
    for part in path.split("."):
        found = found[part]
    return float(found)


def publish(publication: Publication, day: date) -> Published:
    """Have a table published; return where it lies and the report on it."""
    run = f"anonymize-{publication.name}-{day}"
    have_run(JOB, {"--publication": publication.name, "--day": day.isoformat(), "--run": run})
    bucket = boto3.client("glue").get_job(JobName=JOB)["Job"]["DefaultArguments"]["--bucket"]
    prefix = f"published/tables/{publication.name}/{day}/{run}/"
    body = boto3.client("s3").get_object(Bucket=bucket, Key=f"{prefix}report.json")["Body"]
    return Published(bucket, prefix, json.load(body))


def anonymize(name: str, day_text: str = "") -> None:
    """Publish, and print the report and where the rows are."""
    made = publish(publication_of(name), day_of(day_text))
    print("\n".join(lines(made.report)))
    print(f"s3://{made.bucket}/{made.prefix}")
