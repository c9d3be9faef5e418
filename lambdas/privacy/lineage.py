"""Find the models that learned from people who are erased, and say by when they must be trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError

from lambdas.privacy.held import SUBJECTS, held
from lambdas.privacy.people import Person

RETRAIN_BY, BECAUSE = "retrain_by", "retrain_because"
YES, NO, UNKNOWN = "yes", "no", "unknown"


@dataclass(frozen=True, slots=True)
class Learned:
    """What a model learned from, and whether some of the people were in it; unknown once its snapshot is forgotten."""

    model: str
    table: str
    snapshot: str
    held: str
    retrain_by: str | None


def mark(
    sagemaker: Any, catalog: Catalog, group: str, people: Sequence[Person], *, job: str, by: date
) -> list[Learned]:
    """Mark each model of a group that learned from some of the people, or may have; the earliest date stands."""
    found = [learned(catalog, package, people, by) for package in packages(sagemaker, group)]
    for each in found:
        if each.retrain_by == by.isoformat():
            said = {RETRAIN_BY: each.retrain_by, BECAUSE: f"erasure {job}"}
            sagemaker.update_model_package(ModelPackageArn=each.model, CustomerMetadataProperties=said)
    return found


def learned(catalog: Catalog, package: dict[str, Any], people: Sequence[Person], by: date) -> Learned:
    """Say what a model learned from."""
    said = package.get("CustomerMetadataProperties", {})
    table, snapshot = said.get("table", ""), said.get("snapshot", "")
    is_held = was_in(catalog, table, snapshot, people)
    earliest = min(said.get(RETRAIN_BY, by.isoformat()), by.isoformat())
    must = is_held != NO or RETRAIN_BY in said
    return Learned(package["ModelPackageArn"], table, snapshot, is_held, earliest if must else None)


def was_in(catalog: Catalog, name: str, snapshot: str, people: Sequence[Person]) -> str:
    """Say whether a snapshot of a table held some of the people."""
    try:
        table = catalog.load_table(name)
    except (NoSuchTableError, ValueError):
        return UNKNOWN
    if not snapshot.isdigit() or table.snapshot_by_id(int(snapshot)) is None or name not in SUBJECTS:
        return UNKNOWN
    return YES if held(table, SUBJECTS[name], people, int(snapshot)) else NO


def packages(sagemaker: Any, group: str) -> list[dict[str, Any]]:
    """Describe every model of a group."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    arns = [summary["ModelPackageArn"] for page in pages for summary in page["ModelPackageSummaryList"]]
    return [sagemaker.describe_model_package(ModelPackageName=arn) for arn in arns]


def said(found: Sequence[Learned]) -> list[dict[str, Any]]:
    """Say it in JSON."""
    return [asdict(each) for each in found]
