"""Say whether a run's dataset can be trained on, and if so with what."""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256
from typing import Any

import boto3

from domain.experiment.declaration import MAIN_VARIANT
from domain.experiments import EXPERIMENTS
from domain.serve.variants import governing, versions
from domain.train.gate import shortages
from lambdas.train.registry import approved, model_data_of, run_of
from lambdas.train.settings import PlanSettings

SEED = "7"
JOB_PREFIX = "rivermill-"
LONGEST_JOB = 59  # SageMaker takes 63 characters; the state machine adds the number of the attempt

settings = cache(PlanSettings.read)
client = cache(boto3.client)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Plan the training of the run `{"run", "day"}`."""
    run = event["run"]
    described = dataset(settings().bucket, run)
    rows = {split: counted["rows"] for split, counted in described["by_split"].items()}
    positives = {split: counted["positives"] for split, counted in described["by_split"].items()}
    lacks = shortages(rows, positives)
    if lacks:
        return {"trainable": False, "run": run, "day": event["day"], "reason": "; ".join(lacks)}
    return {"trainable": True, "run": run, "day": event["day"], "reason": "", **plan(described, run, event["day"])}


def plan(described: dict[str, Any], run: str, day: str) -> dict[str, Any]:
    """Name the jobs, their inputs and their outputs."""
    bucket = settings().bucket
    validation = f"s3://{bucket}/training/{run}/validation/"
    snapshot = str(described["snapshot_id"])
    return {
        "job": job_name(run),
        "dataset": described["manifest"],
        "champion": champion(run),
        "models": f"s3://{bucket}/models/",
        "validation": validation,
        "report": f"{validation}report.json",
        "hyperparameters": {
            "run": run,
            "day": day,
            "table": described["table"],
            "snapshot": snapshot,
            "seed": SEED,
        },
    }


def champion(run: str) -> str:
    """Find the model to beat: the newest approved one that is not of this very run, or the packaged baseline.

    While an experiment has models for its arms, it is that of the control, and then of the promoted arm.
    """
    packages = approved(client("sagemaker"), settings().model_package_group)
    experiment = governing(EXPERIMENTS)
    if experiment:
        version = versions(experiment)[MAIN_VARIANT]
        packages = (package for package in packages if package["ModelPackageVersion"] == version)
    return next((model_data_of(package) for package in packages if run_of(package) != run), settings().baseline_model)


def dataset(bucket: str, run: str) -> dict[str, Any]:
    """Read what the dataset job wrote of the run."""
    found = client("s3").get_object(Bucket=bucket, Key=f"training/{run}/dataset.json")
    described: dict[str, Any] = json.loads(found["Body"].read())
    return described


def job_name(run: str) -> str:
    """Name the run's jobs: letters, digits and hyphens.

    >>> job_name("daily-2026-03-01")
    'rivermill-daily-2026-03-01'
    """
    name = JOB_PREFIX + re.sub(r"[^A-Za-z0-9]+", "-", run).strip("-")
    if len(name) <= LONGEST_JOB and name == JOB_PREFIX + run:
        return name
    digest = sha256(run.encode()).hexdigest()[:8]  # two runs that shorten alike stay apart
    return f"{name[: LONGEST_JOB - len(digest) - 1].rstrip('-')}-{digest}"
