"""Lake: all that must outlive a deployment.  No other stack holds state."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from domain.privacy.release.ledger import TABLE as BUDGETS
from domain.tables import TABLES
from stacks import names
from stacks.config import KAFKA, ON_DEMAND, PROVISIONED, Config, RefusedConfig
from stacks.constructs.grants import grant_key, grant_upkeep
from stacks.constructs.iceberg_table import IcebergTable
from stacks.constructs.kafka import Kafka
from stacks.constructs.nag import accept
from stacks.constructs.way_in import WayIn
from stacks.retention import QUEUE_DAYS, RESULT_DAYS, UNDO_DAYS, check, recovery_days

RUN_DAYS = 400
MODES = {PROVISIONED: kinesis.StreamMode.PROVISIONED, ON_DEMAND: kinesis.StreamMode.ON_DEMAND}
DATABASES = tuple(dict.fromkeys(table.database for table in TABLES))


class LakeStack(Stack):
    """Hold the key, the bucket, the stream, the queue, the topic and the catalogue."""

    def __init__(
        self, scope: Construct, id: str, *, env: Environment, config: Config, destroy_data: bool = False
    ) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: the lake", termination_protection=config.keep_data)
        check(config)
        self.recovery_days = recovery_days(config)
        self.removal = removal(config, destroy_data)
        self.key = self._key()
        self.bucket = self._bucket(config)
        if config.broker == KAFKA:
            self.kafka = Kafka(self, "Kafka", config=config, key=self.key, removal=self.removal)
        else:
            self.stream = self._stream(config)
        self.failed_batches = self._queue()
        self.notices = self._topic()
        self.decisions = self._items("Decisions", names.DECISIONS, of="unit", expires="expires_at")
        self.bandits = self._items("Bandits", names.BANDITS, of="experiment")
        self.budgets = self._items("Budgets", BUDGETS, of="dataset")
        self.erasures = self._items("Erasures", names.ERASURES, of="subject")
        # Its backups would bring back keys that were destroyed, and whatever they sealed.
        self.subjects = self._items("Subjects", names.SUBJECTS, of="subject", can_be_had_back=False)
        self.keys = self._items("Keys", names.KEYS, of="purpose")
        self.privacy_key = self._wrapping_key()
        self.certificates = self._signing_key()
        self._tables(config)
        self._registry()
        CfnOutput(self, "Bucket", value=self.bucket.bucket_name, description="Where everything rests")
        self._say_where(config)

    def _say_where(self, config: Config) -> None:
        stream = names.STREAM if config.broker == KAFKA else self.stream.stream_name
        CfnOutput(self, "Stream", value=stream, description="Where events are sent")
        frame = str(config.plan.frame_kb * 1024)
        CfnOutput(self, "FrameBytes", value=frame, description="What a producer's frame should hold")
        if config.broker == KAFKA:
            CfnOutput(self, "Cluster", value=self.kafka.cluster.attr_arn, description="Whose topic it is")
            CfnOutput(self, "Clients", value=self.kafka.clients.attr_group_id, description="Who may reach the brokers")

    def _key(self) -> kms.Key:
        key = kms.Key(self, "Key", enable_key_rotation=True, removal_policy=self.removal, description="Rivermill")
        for service in ("cloudwatch", "budgets"):
            # Services that publish to the encrypted topic on their own behalf.
            key.grant(
                iam.ServicePrincipal(
                    f"{service}.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
                ),
                "kms:Decrypt",
                "kms:GenerateDataKey",
            )
        return key

    def _wrapping_key(self) -> kms.Key:
        # Beside the lake's, so that who reads the lake's bytes cannot also undo what protects fields.
        return kms.Key(
            self,
            "Privacy",
            alias=names.PRIVACY,
            enable_key_rotation=True,
            removal_policy=self.removal,
            description="Rivermill: wraps the keys of fields",
        )

    def _signing_key(self) -> kms.Key:
        # Asymmetric, so that a certificate is checked without us; AWS does not rotate such keys.
        return kms.Key(
            self,
            "Certificates",
            alias=names.CERTIFICATES,
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=self.removal,
            description="Rivermill: signs certificates of erasure",
        )

    def _bucket(self, config: Config) -> s3.Bucket:
        logs = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,  # access logs cannot be delivered under a customer's key
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            lifecycle_rules=[s3.LifecycleRule(id="Logs", expiration=Duration.days(config.log_days))],
            removal_policy=self.removal,
        )
        accept(logs, "It is where access logs go; logging its own would never end.", "S1")
        return s3.Bucket(
            self,
            "Lake",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            # History is Iceberg's snapshots. Versions only undo a slip, and are gone soon, so that an erasure is final.
            versioned=config.keep_data,
            server_access_logs_bucket=logs,
            server_access_logs_prefix="lake/",
            lifecycle_rules=lifecycle(config),
            removal_policy=self.removal,
        )

    def _stream(self, config: Config) -> kinesis.Stream:
        stream = kinesis.Stream(
            self,
            "Events",
            stream_name=names.STREAM,
            stream_mode=MODES[config.capacity],
            shard_count=config.plan.shards if config.capacity == PROVISIONED else None,
            retention_period=Duration.hours(config.stream_hours),
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=self.key,
            removal_policy=self.removal,
        )
        accept(stream, "The lake's own key, so that who reads the lake's data is decided in one place.", "KDS3")
        return stream

    def _queue(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "FailedBatches",
            queue_name=names.FAILED_BATCHES,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self.key,
            enforce_ssl=True,
            retention_period=Duration.days(QUEUE_DAYS),
            removal_policy=self.removal,
        )
        accept(queue, "It is itself a dead-letter queue; an alarm watches its depth.", "SQS3")
        return queue

    def _topic(self) -> sns.Topic:
        # Subscriptions that people confirmed must outlive a deployment, so the topic is state.
        topic = sns.Topic(self, "Notices", topic_name=names.NOTICES, master_key=self.key, enforce_ssl=True)
        topic.apply_removal_policy(self.removal)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com") for service in ("cloudwatch", "budgets")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        return topic

    def _items(
        self, id: str, name: str, *, of: str, expires: str | None = None, can_be_had_back: bool = True
    ) -> dynamodb.Table:
        """Hold items by whose they are; all that is known of a unit, or of a bandit, lies together."""
        table = dynamodb.Table(
            self,
            id,
            table_name=name,
            partition_key=dynamodb.Attribute(name=of, type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="item", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=can_be_had_back,
                recovery_period_in_days=self.recovery_days if can_be_had_back else None,
            ),
            time_to_live_attribute=expires,
            removal_policy=self.removal,
        )
        if not can_be_had_back:
            accept(table, "What it holds must be gone once it is deleted.", "DDB3")
        return table

    def _tables(self, config: Config) -> None:
        optimizer = self._optimizer()
        for database in DATABASES:
            entry = glue.CfnDatabase(
                self,
                database.title(),
                catalog_id=self.account,
                database_input=glue.CfnDatabase.DatabaseInputProperty(
                    name=database, location_uri=self.bucket.s3_url_for_object(database)
                ),
            )
            entry.apply_removal_policy(self.removal)
            for table in TABLES:
                if table.database == database:
                    IcebergTable(
                        self,
                        f"{database.title()}{pascal(table.name)}",
                        table=table,
                        database=entry,
                        bucket=self.bucket,
                        config=config,
                        optimizer=optimizer,
                        removal=self.removal,
                    )

    def _registry(self) -> None:
        # Models are known by their entry here, and a group that holds any cannot be deleted: it is state.
        group = sagemaker.CfnModelPackageGroup(
            self,
            "Propensity",
            model_package_group_name=names.PROPENSITY,
            model_package_group_description="Will this session end in a purchase",
        )
        group.apply_removal_policy(self.removal)

    def _optimizer(self) -> iam.Role:
        role = iam.Role(self, "Optimizer", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
        grant_upkeep(role, self.bucket)
        grant_key(role, self.key)
        return role


def way_in(lake: LakeStack, config: Config) -> WayIn:
    """Say how functions of ours send to the stage's broker."""
    return WayIn(cluster=lake.kafka.cluster.attr_arn) if config.broker == KAFKA else WayIn(lake.stream)


def removal(config: Config, destroy_data: bool) -> RemovalPolicy:
    """Say what becomes of data when its resource goes: two switches must agree before it is destroyed."""
    if destroy_data and config.keep_data:
        raise RefusedConfig(f"destroy_data is set, but Config.keep_data is True for stage {config.stage!r}")
    return RemovalPolicy.DESTROY if destroy_data else RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


def lifecycle(config: Config) -> list[s3.LifecycleRule]:
    """Say what of the lake's bucket goes by itself, and when; tables are not here, their snapshots expire."""
    rules = [
        s3.LifecycleRule(id="Uploads", abort_incomplete_multipart_upload_after=Duration.days(1)),
        s3.LifecycleRule(id="QueryResults", prefix="athena/", expiration=Duration.days(RESULT_DAYS)),
        # No rule for receipts/: a shard's newest receipt says where it stands, however long ago it was quiet, and S3
        # cannot spare the newest. One of about 1 KB a minute and shard is half a GB a year, too small to move.
        s3.LifecycleRule(id="Runs", prefix="runs/", expiration=Duration.days(RUN_DAYS)),
        s3.LifecycleRule(id="TrainingRuns", prefix="training/", expiration=Duration.days(RUN_DAYS)),
    ]
    if config.keep_data:
        rules.append(
            s3.LifecycleRule(
                id="Undo",
                noncurrent_version_expiration=Duration.days(UNDO_DAYS),
                expired_object_delete_marker=True,
            )
        )
    return rules


def pascal(name: str) -> str:
    """Spell a snake_case name as a construct's id."""
    return "".join(word.title() for word in name.split("_"))
