"""Process: the Spark jobs that refine the lake, and the desk from which people ask it."""

from __future__ import annotations

from aws_cdk import Environment, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_events as events
from aws_cdk import aws_glue as glue
from constructs import Construct

from stacks import names
from stacks.config import JOB, Config
from stacks.constructs.spark_job import SparkJob
from stacks.jobs import COMPACT, JOBS
from stacks.lake import LakeStack

NIGHTLY = events.Schedule.cron(hour="2", minute="40")
SCAN_LIMIT = 1 << 40  # bytes a query, about 5 USD


class ProcessStack(Stack):
    """Turn raw events into curated ones, sessions, features and training sets."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: the Spark jobs that refine the lake")
        for job in JOBS:
            SparkJob(self, job.title, job=job, lake=lake, config=config)
        upkeep(self, config)
        workgroup(self, lake)


def upkeep(scope: Construct, config: Config) -> glue.CfnTrigger:
    """Compact every night, unless Glue's optimizers do it all the time; the job can be started by hand in any case."""
    # L1: the module's scheduled trigger is part of a workflow, which one job does not need.
    return glue.CfnTrigger(
        scope,
        "Nightly",
        type="SCHEDULED",
        schedule=NIGHTLY.expression_string,
        start_on_creation=config.compaction == JOB,
        actions=[glue.CfnTrigger.ActionProperty(job_name=COMPACT.name)],
        description="Keep the tables in shape",
    )


def workgroup(scope: Construct, lake: LakeStack) -> athena.CfnWorkGroup:
    """Make the Athena workgroup from which people ask the lake; results are encrypted and go after a week."""
    # L1: the module has no L2.
    return athena.CfnWorkGroup(
        scope,
        "WorkGroup",
        name=names.WORKGROUP,
        recursive_delete_option=True,
        work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
            enforce_work_group_configuration=True,
            bytes_scanned_cutoff_per_query=SCAN_LIMIT,
            publish_cloud_watch_metrics_enabled=True,
            result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                output_location=lake.bucket.s3_url_for_object("athena/"),
                encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                    encryption_option="SSE_KMS", kms_key=lake.key.key_arn
                ),
            ),
        ),
    )
