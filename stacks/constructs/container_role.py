"""The one way in which this app lets a SageMaker container act."""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from stacks.constructs.nag import accept_wildcards
from stacks.images import sklearn_repository_arn

PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
LOG = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]


def container_role(scope: Construct, id: str, *, name: str) -> iam.Role:
    """Make a role with which SageMaker can pull the scikit-learn image, log and measure."""
    role = iam.Role(scope, id, role_name=name, assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
    stack = Stack.of(role)
    groups = stack.format_arn(
        service="logs", resource="log-group", resource_name="/aws/sagemaker/*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    for statement in (
        iam.PolicyStatement(actions=PULL, resources=[sklearn_repository_arn(stack.region)]),
        iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        iam.PolicyStatement(actions=LOG, resources=[groups]),
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "AWS/SageMaker"]}},
        ),
    ):
        role.add_to_policy(statement)
    accept_wildcards(role, "SageMaker names its log groups, all below /aws/sagemaker/.", groups)
    accept_wildcards(role, "GetAuthorizationToken and PutMetricData take no resource.", "*")
    return role
