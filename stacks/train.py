"""Train: what plans a training, what it runs as, and what registers its model."""

from __future__ import annotations

import json

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from domain.tables import PROPENSITY
from lambdas.train.settings import PlanSettings, RegisterSettings
from sagemaker_jobs.propensity.settings import SERVE_ENVIRONMENT
from stacks import names
from stacks.arns import arn
from stacks.config import Config
from stacks.constructs.bundles import baseline, source
from stacks.constructs.container_role import container_role
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_asset, grant_files, grant_key
from stacks.constructs.nag import accept_wildcards
from stacks.images import sklearn_image, sklearn_repository_arn
from stacks.lake import LakeStack


class TrainStack(Stack):
    """Learn from the lake's training sets, and enter what was learned in the registry."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: training and registration")
        self.lake, self.config = lake, config
        self.baseline = baseline(self)
        self._role()
        self._plan()
        self._register()

    def _role(self) -> None:
        role = container_role(self, "Role", name=names.TRAINING_ROLE)
        grant_files(
            role,
            self.lake.bucket,
            reads=[PROPENSITY.prefix, "training/", "models/"],
            writes=["training/", "models/"],
            lists=[PROPENSITY.prefix, "training/", "models/"],
        )
        grant_key(role, self.lake.key)
        grant_asset(role, source(self), self.baseline)

    def _plan(self) -> None:
        plan = Function(
            self,
            "Plan",
            name=names.PLAN,
            module="train.plan",
            settings=PlanSettings(
                bucket=self.lake.bucket.bucket_name,
                model_package_group=names.PROPENSITY,
                baseline_model=self.baseline.s3_object_url,
            ),
            config=self.config,
            timeout=Duration.minutes(1),
            memory_mb=512,
        )
        grant_files(plan.role, self.lake.bucket, reads=["training/"], lists=["training/"])
        grant_key(plan.role, self.lake.key)
        grant_registry(plan.role)

    def _register(self) -> None:
        register = Function(
            self,
            "Register",
            name=names.REGISTER,
            module="train.register",
            settings=RegisterSettings(
                model_package_group=names.PROPENSITY,
                image=sklearn_image(self.region),
                environment=json.dumps(SERVE_ENVIRONMENT),
                instance_type=self.config.endpoint_instance,
            ),
            config=self.config,
            timeout=Duration.minutes(1),
            memory_mb=512,
        )
        # SageMaker looks at a package's image and model in the name of who registers it.
        grant_files(register.role, self.lake.bucket, reads=["training/", "models/"], lists=["training/", "models/"])
        grant_key(register.role, self.lake.key)
        grant_registry(register.role, "sagemaker:CreateModelPackage")
        register.role.add_to_policy(
            iam.PolicyStatement(actions=["ecr:BatchGetImage"], resources=[sklearn_repository_arn(self.region)])
        )


def grant_registry(role: iam.Role, *more: str) -> None:
    """Allow the model package group to be read, and what else is named."""
    group = arn(role, "sagemaker", "model-package-group", names.PROPENSITY)
    packages = arn(role, "sagemaker", "model-package", f"{names.PROPENSITY}/*")
    actions = ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", *more]
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[group, packages]))
    accept_wildcards(role, "The registry numbers the packages of the one group.", packages)
