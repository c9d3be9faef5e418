"""The one way in which this app declares a Spark job."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Annotations, ArnFormat, Duration, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from stacks.config import Config
from stacks.constructs.code import ROOT, only
from stacks.constructs.grants import grant_asset, grant_files, grant_key, grant_tables, grant_upkeep
from stacks.constructs.nag import accept, accept_wildcards
from stacks.jobs import Job
from stacks.lake import LakeStack

ICEBERG = {
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.lake.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
    "spark.sql.catalog.lake.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
}


class SparkJob(Construct):
    """Run a job, allowed to read and write just the tables that it names, and to account for its run."""

    def __init__(self, scope: Construct, id: str, *, job: Job, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id)
        script = assets.Asset(self, "Script", path=str(ROOT / "glue_jobs" / f"{job.module.replace('.', '/')}.py"))
        modules = shared_modules(Stack.of(self))
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
        if job.upkeep:
            grant_upkeep(self.role, lake.bucket)
        else:
            grant_tables(self.role, lake.bucket, reads=job.reads, writes=job.writes)
        grant_files(self.role, lake.bucket, writes=["runs/", *job.files])
        if job.ledger:
            verbs = [f"dynamodb:{verb}" for verb in ("GetItem", "PutItem", "UpdateItem")]
            self.role.add_to_policy(iam.PolicyStatement(actions=verbs, resources=[lake.budgets.table_arn]))
        if job.keys:
            grant_renewal(self.role, lake)
        grant_key(self.role, lake.key)
        grant_asset(self.role, script, modules)
        grant_logs(self.role)
        self.job = glue.PySparkEtlJob(
            self,
            "Job",
            job_name=job.name,
            # The role's policy is written above; the L2's own grants would reach every asset of the account.
            role=self.role.without_policy_updates(),
            glue_version=glue.GlueVersion.V6_0,
            script=glue.Code.from_bucket(script.bucket, script.s3_object_key),
            extra_python_files=[glue.Code.from_bucket(modules.bucket, modules.s3_object_key)],
            worker_configuration=glue.WorkerConfiguration(
                worker_type=glue.WorkerType[config.glue_worker.replace(".", "_")],
                number_of_workers=config.glue_workers,
            ),
            default_arguments=arguments(lake.bucket.bucket_name, job.packages)
            | ({"--keys": lake.keys.table_name, "--subjects": lake.subjects.table_name} if job.keys else {}),
            max_concurrent_runs=1,
            max_retries=0,  # the state machine retries
            timeout=Duration.hours(2),
        )
        accept(self.job, "CloudWatch encrypts every log group; a job's own holds counts and never rows.", "GL1")
        accept(self.job, "No bookmark is kept: jobs follow Iceberg's snapshots.", "GL3")
        Annotations.of(self.job).acknowledge_warning(
            "@aws-cdk/aws-glue-alpha:unencryptedContinuousLogging", "As for GL1 above."
        )


def arguments(bucket: str, packages: Sequence[str] = ()) -> dict[str, str]:
    """Tell a job where the lake is; the engine's catalogue is a matter of arguments, never of code."""
    modules = {"--additional-python-modules": ",".join(packages)} if packages else {}
    settings = {**ICEBERG, "spark.sql.catalog.lake.warehouse": f"s3://{bucket}/"}
    return {
        # Glue takes one --conf; the further ones travel inside its value (Glue guide, "Using Iceberg").
        "--conf": " --conf ".join(f"{name}={value}" for name, value in settings.items()),
        "--datalake-formats": "iceberg",
        "--bucket": bucket,
        **modules,
    }


def grant_renewal(role: iam.Role, lake: LakeStack) -> None:
    """Allow tokens to be renewed: keys to be opened, and subjects' keys to move with their tokens."""
    for actions, resource in (
        (["kms:Decrypt"], lake.privacy_key.key_arn),
        (["dynamodb:Query"], lake.keys.table_arn),
        (["dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"], lake.subjects.table_arn),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))


def shared_modules(stack: Stack) -> assets.Asset:
    """Make, once a stack, the zip of first-party modules that its jobs import."""
    found = stack.node.try_find_child("Modules")
    if isinstance(found, assets.Asset):
        return found
    return assets.Asset(stack, "Modules", path=str(ROOT), **only("domain", "glue_jobs"))


def grant_logs(role: iam.Role) -> None:
    """Allow what a Glue job logs and measures."""
    groups = Stack.of(role).format_arn(
        service="logs", resource="log-group", resource_name="/aws-glue/*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[groups]))
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringEquals": {"cloudwatch:namespace": "Glue"}},
        )
    )
    accept_wildcards(role, "Glue names the log groups of its jobs, all below /aws-glue/.", groups)
    accept_wildcards(role, "PutMetricData takes no resource; a condition holds it to Glue's namespace.", "*")
