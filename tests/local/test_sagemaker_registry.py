"""The model registry through boto3. Source: SageMaker API reference, CreateModelPackage and UpdateModelPackage."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from tests.local.builders import any_name
from tests.local.jobs import IMAGE

METRICS = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://any/report.json"}}}
FORMATS = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}


@pytest.fixture
def group(cloud: Cloud) -> str:
    name = any_name("group")
    cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    return name


def register(cloud: Cloud, group: str, **more: Any) -> str:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://any/model.tar.gz"}
    made = cloud.client("sagemaker").create_model_package(
        ModelPackageGroupName=group, InferenceSpecification={"Containers": [container], **FORMATS}, **more
    )
    return str(made["ModelPackageArn"])


def package(cloud: Cloud, arn: str) -> Any:
    return cloud.client("sagemaker").describe_model_package(ModelPackageName=arn)


def test_a_package_keeps_its_metrics_and_properties_and_awaits_approval(cloud: Cloud, group: str) -> None:
    found = package(cloud, register(cloud, group, ModelMetrics=METRICS, CustomerMetadataProperties={"snapshot": "7"}))

    assert (found["ModelPackageVersion"], found["ModelApprovalStatus"]) == (1, "PendingManualApproval")
    assert found["ModelMetrics"] == METRICS
    assert found["CustomerMetadataProperties"] == {"snapshot": "7"}
    assert found["InferenceSpecification"]["Containers"][0]["Image"] == IMAGE


def test_an_update_changes_what_it_names_and_nothing_else(cloud: Cloud, group: str) -> None:
    arn = register(cloud, group, ModelApprovalStatus="Approved", CustomerMetadataProperties={"a": "1", "b": "2"})
    client = cloud.client("sagemaker")
    client.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"b": "3"})
    client.update_model_package(ModelPackageArn=arn, ApprovalDescription="better by 2 points")
    found = package(cloud, arn)

    assert found["CustomerMetadataProperties"] == {"a": "1", "b": "3"}
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Approved", "better by 2 points")


def test_a_version_is_never_given_twice(cloud: Cloud, group: str) -> None:
    first, second = register(cloud, group), register(cloud, group)
    cloud.client("sagemaker").delete_model_package(ModelPackageName=second)
    third = register(cloud, group)

    assert [arn.rpartition("/")[2] for arn in (first, second, third)] == ["1", "2", "3"]


def test_packages_are_listed_newest_first_by_their_approval(cloud: Cloud, group: str) -> None:
    kept = [register(cloud, group, ModelApprovalStatus=s) for s in ("Approved", "Rejected", "Approved")]
    listed = cloud.client("sagemaker").list_model_packages(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending"
    )["ModelPackageSummaryList"]

    assert [one["ModelPackageArn"] for one in listed] == [kept[2], kept[0]]


def test_a_group_that_holds_a_package_is_not_deleted(cloud: Cloud, group: str) -> None:
    client, arn = cloud.client("sagemaker"), register(cloud, group)
    with pytest.raises(ClientError):
        client.delete_model_package_group(ModelPackageGroupName=group)
    client.delete_model_package(ModelPackageName=arn)
    client.delete_model_package_group(ModelPackageGroupName=group)

    with pytest.raises(ClientError, match="does not exist"):
        client.describe_model_package_group(ModelPackageGroupName=group)


def test_a_groups_name_is_taken_once(cloud: Cloud, group: str) -> None:
    with pytest.raises(ClientError, match="already exists"):
        cloud.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
