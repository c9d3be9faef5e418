"""The real CDK CLI deploys an app of its own into the laptop cloud, changes it and takes it away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from botocore.exceptions import ClientError

from local import iceberg
from local.cloud import Cloud

pytestmark = pytest.mark.slow

APP = dedent(
    """
    import os
    from aws_cdk import App, CfnOutput, Duration, RemovalPolicy, Stack
    from aws_cdk import aws_cloudwatch as cloudwatch, aws_glue as glue, aws_kms as kms, aws_lambda as lambda_
    from aws_cdk import aws_kinesis as kinesis, aws_logs as logs, aws_s3 as s3, aws_ssm as ssm, aws_sqs as sqs
    from aws_cdk.aws_lambda_event_sources import SqsDlq

    CHANGED = os.environ.get("CHANGED") == "yes"
    Iceberg = glue.CfnTable

    app = App()
    state = Stack(app, "Trial-State")
    key = kms.Key(state, "Key", alias="alias/trial", enable_key_rotation=True, removal_policy=RemovalPolicy.DESTROY)
    bucket = s3.Bucket(
        state, "Bucket", enforce_ssl=True, encryption_key=key, versioned=True,
        lifecycle_rules=[s3.LifecycleRule(prefix="old/", expiration=Duration.days(31 if CHANGED else 30))],
    )
    stream = kinesis.Stream(state, "Stream", shard_count=1, encryption_key=key, removal_policy=RemovalPolicy.DESTROY)
    database = glue.CfnDatabase(
        state, "Database", catalog_id=state.account,
        database_input=glue.CfnDatabase.DatabaseInputProperty(name="trial"),
    )
    fields = [("event_id", "string", True), ("at", "timestamptz", True)] + [("more", "long", False)] * CHANGED
    table = Iceberg(
        state, "Table", catalog_id=state.account, database_name="trial", name="events",
        open_table_format_input=Iceberg.OpenTableFormatInputProperty(
            iceberg_input=Iceberg.IcebergInputProperty(
                metadata_operation="CREATE", version="2",
                iceberg_table_input=Iceberg.IcebergTableInputProperty(
                    location=bucket.s3_url_for_object("trial/events/"),
                    schema=Iceberg.IcebergSchemaProperty(type="struct", fields=[
                        Iceberg.IcebergStructFieldProperty(id=n, name=name, type=kind, required=required)
                        for n, (name, kind, required) in enumerate(fields, 1)
                    ]),
                    partition_spec=Iceberg.IcebergPartitionSpecProperty(fields=[
                        Iceberg.IcebergPartitionFieldProperty(name="d", source_id=2, transform="day", field_id=1000)
                    ]),
                    write_order=Iceberg.IcebergSortOrderProperty(order_id=1, fields=[
                        Iceberg.IcebergSortFieldProperty(
                            source_id=1, transform="identity", direction="asc", null_order="nulls-first")
                    ]),
                    properties={"write.delete.mode": "copy-on-write"},
                ),
            )
        ),
    )
    table.add_resource_dependency(database)

    use = Stack(app, "Trial-Use")
    function = lambda_.Function(
        use, "Function", function_name="trial", runtime=lambda_.Runtime.PYTHON_3_12, handler="index.handler",
        code=lambda_.Code.from_asset("code"), memory_size=512 if CHANGED else 256,
        environment={"BUCKET": bucket.bucket_name},
        log_group=logs.LogGroup(use, "Log", removal_policy=RemovalPolicy.DESTROY),
    )
    bucket.grant_read(function)
    stream.grant_read(function)
    function.add_event_source_mapping(
        "Source", event_source_arn=stream.stream_arn, starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        batch_size=97, retry_attempts=3, on_failure=SqsDlq(sqs.Queue(use, "Dead", enforce_ssl=True)),
    )
    function.metric_errors().create_alarm(use, "Errors", threshold=1, evaluation_periods=1)
    if not CHANGED:
        ssm.StringParameter(use, "Parameter", parameter_name="/trial/parameter", string_value="x")
    CfnOutput(state, "BucketName", value=bucket.bucket_name)
    if CHANGED:
        from aws_cdk import aws_redshift as redshift
        redshift.CfnClusterSecurityGroup(Stack(app, "Unmade"), "Warehouse", description="x")
    app.synth()
    """
)


@dataclass(frozen=True)
class Cdk:
    """The CLI, the assemblies of both versions of the app, and the environment that it runs in."""

    command: str
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, app: str = "first") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *arguments, "--app", app, "--no-notices", "--ci", "--no-color"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def deploy(self, app: str = "first") -> str:
        done = self.run("deploy", "Trial-*", "--require-approval", "never", app=app)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def synthesize(folder: Path, name: str, changed: str) -> None:
    """Write the assembly of one version of the app, so that the CLI need not run it again for each command."""
    environment = {**os.environ, "CDK_OUTDIR": str(folder / name), "CHANGED": changed}
    subprocess.run([sys.executable, "app.py"], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def cdk(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cdk:
    own = Path(__file__).parents[2] / "node_modules" / ".bin"
    path = os.pathsep.join([str(own), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = shutil.which("cdk", path=path)
    if command is None:
        pytest.skip("the CDK CLI is not installed: npm ci")
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    (folder / "code").mkdir()
    (folder / "code" / "index.py").write_text("def handler(event, context):\n    return 'ok'\n")
    synthesize(folder, "first", "no")
    synthesize(folder, "second", "yes")
    environment = {**os.environ, **cloud.environment(), "PATH": path, "CDK_DISABLE_CLI_TELEMETRY": "true"}
    cdk = Cdk(command, folder, environment)
    done = cdk.run("bootstrap", f"aws://{cloud.account}/{cloud.region}")
    assert done.returncode == 0, done.stderr
    cdk.deploy()
    return cdk


def bucket_name(cloud: Cloud) -> str:
    stack = cloud.client("cloudformation").describe_stacks(StackName="Trial-State")["Stacks"][0]
    return next(str(output["OutputValue"]) for output in stack["Outputs"] if output["OutputKey"] == "BucketName")


def test_a_deployment_makes_what_the_app_says(cloud: Cloud, cdk: Cdk) -> None:
    function = cloud.client("lambda").get_function_configuration(FunctionName="trial")
    mapping = cloud.client("lambda").list_event_source_mappings(FunctionName="trial")["EventSourceMappings"][0]
    key = cloud.client("kms").describe_key(KeyId="alias/trial")["KeyMetadata"]["KeyId"]

    assert function["Environment"]["Variables"] == {"BUCKET": bucket_name(cloud)}
    assert (mapping["BatchSize"], mapping["MaximumRetryAttempts"]) == (97, 3)
    assert cloud.client("kms").get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]


def test_an_iceberg_table_is_real_and_empty(cloud: Cloud, cdk: Cdk) -> None:
    table = iceberg.catalogue(cloud).load_table("trial.events")

    assert table.metadata.format_version == 2
    assert [str(field.transform) for field in table.spec().fields] == ["day"]
    assert [field.source_id for field in table.sort_order().fields] == [1]
    assert table.scan().to_arrow().num_rows == 0


def test_a_diff_afterwards_shows_nothing(cdk: Cdk) -> None:
    done = cdk.run("diff", "Trial-*", "--fail")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_deployment_changes_nothing(cdk: Cdk) -> None:
    assert cdk.deploy().count("(no changes)") == 2


def test_a_type_that_the_laptop_lacks_fails_by_name(cloud: Cloud, cdk: Cdk) -> None:
    done = cdk.run("deploy", "Unmade", "--require-approval", "never", app="second")

    assert done.returncode == 1
    assert "Warehouse (AWS::Redshift::ClusterSecurityGroup): the laptop cloud does not make" in " ".join(
        done.stderr.split()
    )


def test_a_changed_app_changes_the_services_and_destroy_leaves_what_is_retained(cloud: Cloud, cdk: Cdk) -> None:
    shown = cdk.run("diff", "Trial-*", app="second")
    cdk.deploy("second")
    bucket = bucket_name(cloud)
    rules = cloud.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]

    assert "[-] AWS::SSM::Parameter" in shown.stdout + shown.stderr
    assert cloud.client("lambda").get_function_configuration(FunctionName="trial")["MemorySize"] == 512
    assert rules[0]["Expiration"]["Days"] == 31
    assert iceberg.catalogue(cloud).load_table("trial.events").schema().column_names == ["event_id", "at", "more"]
    with pytest.raises(ClientError, match="ParameterNotFound"):
        cloud.client("ssm").get_parameter(Name="/trial/parameter")

    done = cdk.run("destroy", "Trial-*", "--force", app="second")

    assert done.returncode == 0, done.stderr
    assert bucket in [held["Name"] for held in cloud.client("s3").list_buckets()["Buckets"]]
    assert "trial" not in [held["FunctionName"] for held in cloud.client("lambda").list_functions()["Functions"]]
    assert not [name for name in cloud.client("kinesis").list_streams()["StreamNames"] if name.startswith("Trial")]
