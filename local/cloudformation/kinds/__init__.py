"""The resource types that the laptop cloud makes, each by the calls of its own service."""

from __future__ import annotations

from local.cloudformation.kinds import (
    analytics,
    api_gateway,
    compute,
    glue,
    identity,
    kafka,
    messaging,
    monitoring,
    network,
    orchestration,
    sagemaker,
    storage,
)
from local.cloudformation.kinds.kind import Kind, inert

# Types that change nothing on a laptop, each with the reason; any other unknown type fails the deployment.
INERT = {
    "AWS::CDK::Metadata": "it reports library versions to AWS and makes nothing",
    "AWS::Glue::TableOptimizer": "compaction is Glue's own work, which nothing here does; let a job do it",
    "AWS::CloudWatch::AnomalyDetector": "it learns from two weeks of metrics, which a laptop does not have",
    "AWS::CloudWatch::InsightRule": "moto keeps no contributor insights",
    "AWS::Logs::QueryDefinition": "a saved query of the console, which the laptop does not have",
    "AWS::Logs::ResourcePolicy": "permissions are not enforced on the laptop",
    "AWS::Kinesis::ResourcePolicy": "permissions are not enforced on the laptop",
    "AWS::LakeFormation::PrincipalPermissions": "permissions are not enforced on the laptop",
    "AWS::LakeFormation::DataLakeSettings": "permissions are not enforced on the laptop",
    "AWS::IAM::ServiceLinkedRole": "permissions are not enforced on the laptop",
    "AWS::CE::AnomalyMonitor": "the laptop costs nothing",
    "AWS::CE::AnomalySubscription": "the laptop costs nothing",
    "AWS::XRay::Group": "the laptop keeps no traces",
}

KINDS: dict[str, Kind] = {
    **dict.fromkeys(INERT, inert),
    **storage.KINDS,
    **identity.KINDS,
    **messaging.KINDS,
    **kafka.KINDS,
    **network.KINDS,
    **compute.KINDS,
    **api_gateway.KINDS,
    **glue.KINDS,
    **analytics.KINDS,
    **monitoring.KINDS,
    **orchestration.KINDS,
    **sagemaker.KINDS,
}


def refusal(type: str, logical_id: str) -> str:
    """Say in one line why a type cannot be deployed here, and what to do."""
    if type.startswith("Custom::") or type == "AWS::CloudFormation::CustomResource":
        return (
            f"{logical_id} ({type}): the laptop cloud runs no custom resources; "
            "use a native resource, or leave it out when deploying to the laptop"
        )
    return (
        f"{logical_id} ({type}): the laptop cloud does not make this resource type; "
        "add it under local/cloudformation/kinds, or leave it out when deploying to the laptop"
    )
