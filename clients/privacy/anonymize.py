"""Publish a table with each person in a group, and tell what risk is left and what was lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3

from clients.privacy.jobs import have_run
from clients.privacy.release import day_of
from domain.privacy.anonymize.declaration import Publication, RefusedPublication, check
from domain.publications import PUBLICATIONS

JOB = "rivermill-anonymize"


def publication_of(name: str) -> Publication:
    """Find a declared publication; what is declared wrongly is refused here, before the job starts."""
    if name not in PUBLICATIONS:
        fix = f"write one of {', '.join(PUBLICATIONS)}, or declare it in domain/publications.py"
        raise RefusedPublication("publication", name, fix)
    check([PUBLICATIONS[name]])
    return PUBLICATIONS[name]


def lines(told: dict[str, Any]) -> Iterator[str]:
    """Tell a report: what the rows were, and what they are as published."""
    before, after = told["before"], told["after"]
    yield f"{told['people']:,} people, {told['suppressed'] + told['left_out']:,} of them left out"
    yield f"{'':<34}{'as they were':>14}{'as published':>14}"
    for name, path in FIGURES.items():
        yield f"{name:<34}{_at(before, path):>14,.5g}{_at(after, path):>14,.5g}"
    for field in (name for name, value in before.items() if isinstance(value, dict) and "close" in value):
        for name, kind in (("values", "distinct"), ("by entropy", "entropy"), ("from all", "close")):
            yield f"{f'{field}: {name}':<34}{before[field][kind]:>14,.5g}{after[field][kind]:>14,.5g}"


FIGURES = {
    "smallest group (k)": "k",
    "groups": "groups",
    "prosecutor's risk, highest": "prosecutor.highest",
    "prosecutor's risk, average": "prosecutor.average",
    "people at a risk above 0.2": "prosecutor.at_risk",
    "marketer's risk": "marketer",
    "information lost (0 to 1)": "loss",
}


def _at(figures: dict[str, Any], path: str) -> float:
    found: Any = figures
    for part in path.split("."):
        found = found[part]
    return float(found)


def anonymize(name: str, day_text: str = "") -> None:
    """Publish, and print the report and where the rows are."""
    publication, day = publication_of(name), day_of(day_text)
    run = f"anonymize-{publication.name}-{day}"
    have_run(JOB, {"--publication": publication.name, "--day": day.isoformat(), "--run": run})
    bucket = boto3.client("glue").get_job(JobName=JOB)["Job"]["DefaultArguments"]["--bucket"]
    prefix = f"published/tables/{publication.name}/{day}/{run}/"
    body = boto3.client("s3").get_object(Bucket=bucket, Key=f"{prefix}report.json")["Body"]
    print("\n".join(lines(json.load(body))))
    print(f"s3://{bucket}/{prefix}")
