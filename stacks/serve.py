"""Serve: the endpoint, what puts models behind it, and its HTTP front."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from domain.experiments import EXPERIMENTS
from domain.serve.variants import governing
from lambdas.serve.settings import DeploySettings, PredictSettings
from sagemaker_jobs.propensity.settings import SERVE_ENVIRONMENT
from stacks import names
from stacks.arns import arn, colon_arn, function_arn
from stacks.config import Config
from stacks.constructs.bundles import baseline
from stacks.constructs.container_role import container_role
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_asset, grant_files, grant_key
from stacks.constructs.nag import accept_wildcards
from stacks.images import sklearn_image
from stacks.lake import LakeStack

# Not the stage's: a change here updates the endpoint, and would put the baseline in the place of what was learned.
BASELINE_INSTANCE = "ml.t2.medium"


class ServeStack(Stack):
    """Answer requests for predictions, from the first deployment on.

    The endpoint starts with the packaged baseline, and from then on belongs to the pipeline: as long as what is
    declared here stays the same, CloudFormation leaves it alone, whatever model serves.
    """

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: the endpoint and its front")
        self.lake, self.config = lake, config
        self.role = self._role()
        self.endpoint = self._endpoint()
        self._deploy()
        self._predict()

    def _role(self) -> iam.Role:
        self.baseline = baseline(self)
        role = container_role(self, "Role", name=names.ENDPOINT_ROLE)
        grant_files(role, self.lake.bucket, reads=["models/"], lists=["models/"])
        grant_key(role, self.lake.key)
        grant_asset(role, self.baseline)
        return role

    def _endpoint(self) -> sagemaker.CfnEndpoint:
        # L1s: the module has no L2 for them.
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=sklearn_image(self.region),
                model_data_url=self.baseline.s3_object_url,
                environment=SERVE_ENVIRONMENT,
            ),
        )
        model.node.add_dependency(self.role)  # SageMaker reads the model as the role when it is created
        config = sagemaker.CfnEndpointConfig(
            self,
            "EndpointConfig",
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=names.VARIANT,
                    model_name=model.attr_model_name,
                    instance_type=BASELINE_INSTANCE,
                    initial_instance_count=1,
                    initial_variant_weight=1,
                )
            ],
        )
        return sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=names.PROPENSITY,
            endpoint_config_name=config.attr_endpoint_config_name,
        )

    def _deploy(self) -> None:
        deploy = Function(
            self,
            "Deploy",
            name=names.DEPLOY,
            module="serve.deploy",
            settings=DeploySettings(
                endpoint=names.PROPENSITY,
                role=self.role.role_arn,
                instance_type=self.config.endpoint_instance,
                instance_count=str(self.config.endpoint_instances),
                alarms=",".join(names.ENDPOINT_ALARMS),
                packages=arn(self, "sagemaker", "model-package", names.PROPENSITY),
            ),
            config=self.config,
            timeout=Duration.minutes(1),
            memory_mb=512,
        )
        grant_deployment(deploy.role, self.role.role_arn)

    def _predict(self) -> None:
        predict = Function(
            self,
            "Predict",
            name=names.PREDICT,
            module="serve.predict",
            settings=PredictSettings(endpoint=names.PROPENSITY, decide=names.DECIDE),
            config=self.config,
            timeout=Duration.seconds(29),
            memory_mb=512,
        )
        endpoint = arn(self, "sagemaker", "endpoint", names.PROPENSITY)
        predict.role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:InvokeEndpoint"], resources=[endpoint]))
        if governing(EXPERIMENTS):
            decide = function_arn(self, names.DECIDE)
            predict.role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[decide]))
        url = predict.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        CfnOutput(self, "PredictUrl", value=url.url, description="Where predictions are asked for, with SigV4")


def grant_deployment(role: iam.Role, endpoint_role: str) -> None:
    """Allow models of the registry to be put behind the one endpoint."""
    packages = arn(role, "sagemaker", "model-package", f"{names.PROPENSITY}/*")
    models = arn(role, "sagemaker", "model", f"{names.PROPENSITY}-*")
    configs = arn(role, "sagemaker", "endpoint-config", f"{names.PROPENSITY}-*")
    endpoint = arn(role, "sagemaker", "endpoint", names.PROPENSITY)
    alarms = [colon_arn(role, "cloudwatch", "alarm", alarm) for alarm in names.ENDPOINT_ALARMS]
    for actions, resources in (
        (["sagemaker:DescribeModelPackage"], [packages]),
        (["sagemaker:CreateModel", "sagemaker:AddTags"], [models]),
        (["sagemaker:CreateEndpointConfig"], [configs]),
        (["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpoint"], [endpoint]),
        (["sagemaker:UpdateEndpoint"], [configs]),
        (["cloudwatch:DescribeAlarms"], alarms),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[endpoint_role],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
    )
    accept_wildcards(role, "Models and configurations are numbered as they come.", packages, models, configs)
