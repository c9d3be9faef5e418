"""Read experiments out each morning, or when asked: page and figures into the bucket, the readings as the answer."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3

from domain.experiment.page.page import as_json, files
from domain.experiment.readout import NoStatistics, read
from domain.experiment.statistics import answered, question, snapshots
from domain.experiments import EXPERIMENTS, READOUTS, declared
from lambdas.athena import Athena
from lambdas.experiment.settings import ReportSettings

TYPES = {"html": "text/html; charset=utf-8", "json": "application/json", "svg": "image/svg+xml"}

settings = cache(ReportSettings.read)


@cache
def client(service: str) -> Any:
    """Connect to a service."""
    return boto3.client(service)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Read `{"experiment": name}` out, or all that are declared; NotDeclared for one that is not."""
    asked = event.get("experiment")
    names = list(EXPERIMENTS) if asked is None else [declared(asked).name]
    return {"readouts": {name: report(name) for name in names}}


def report(name: str) -> dict[str, Any]:
    """Write an experiment's files, and return its readings and where its page is; why there is none, if so."""
    rows = Athena(client("athena"), settings().workgroup).ask(question(name))
    try:
        readout = read(EXPERIMENTS[name], snapshots(answered(rows)))
    except NoStatistics as nothing:
        return {"experiment": name, "nothing": str(nothing)}
    folder = f"{READOUTS}{name}/"
    for file, text in files(readout).items():
        kind = TYPES[file.rpartition(".")[2]]
        client("s3").put_object(Bucket=settings().bucket, Key=f"{folder}{file}", Body=text.encode(), ContentType=kind)
    return {**as_json(readout), "page": f"s3://{settings().bucket}/{folder}page.html"}
