"""Read the model package group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def approved(client: Any, group: str) -> Iterator[dict[str, Any]]:
    """Describe the approved packages of a group, the newest first."""
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
    )
    for page in pages:
        for summary in page["ModelPackageSummaryList"]:
            yield client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])


def run_of(package: dict[str, Any]) -> str | None:
    """Say which run registered a package."""
    run: str | None = package.get("CustomerMetadataProperties", {}).get("run")
    return run


def model_data_of(package: dict[str, Any]) -> str:
    """Say where a package's `model.tar.gz` lies."""
    return str(package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"])
