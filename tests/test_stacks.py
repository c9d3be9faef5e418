"""What every stage's templates must satisfy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from domain import layout
from domain.ingest import landing, receipts
from domain.metrics import METRICS
from domain.tables import TABLES
from stacks import names
from stacks.capacity import Expected
from stacks.config import CONFIGS, Config, RefusedConfig
from stacks.ingest import BATCH_SIZE, PARALLELIZATION, RECORD_AGE, RETRIES
from tests.stacks.synthesized import Template, all_resources, only, resources, stage, synthesize

LAKE = "Rivermill-Lake"
STATE = {
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::SageMaker::ModelPackageGroup",
}
STATE_IDS = Path(__file__).parent / "state_ids.json"


@pytest.fixture(scope="module", params=CONFIGS)
def templates(request: pytest.FixtureRequest) -> dict[str, Template]:
    return stage(request.param).templates


def state(template: Template) -> dict[str, Template]:
    return {name: found for name, found in template["Resources"].items() if found["Type"] in STATE}


def test_only_the_lake_holds_state(templates: dict[str, Template]) -> None:
    holders = {stack for stack, template in templates.items() if state(template)}

    assert holders == {LAKE}


def test_state_keeps_its_logical_ids(templates: dict[str, Template]) -> None:
    """A changed id replaces the resource and loses its data: change the file only on purpose; more is no harm."""
    pinned = json.loads(STATE_IDS.read_text())
    ids = {name: found["Type"] for name, found in state(templates[LAKE]).items()}

    assert {name: ids.get(name) for name in pinned} == pinned


def test_every_stack_takes_the_lake_and_nothing_else(templates: dict[str, Template]) -> None:
    imported = set(re.findall(r'"Fn::ImportValue": "([^"]+)"', json.dumps(templates)))
    exported = {
        output["Export"]["Name"]: stack
        for stack, template in templates.items()
        for output in template.get("Outputs", {}).values()
        if "Export" in output
    }

    assert imported
    assert imported == exported.keys()
    assert set(exported.values()) == {LAKE}


def test_data_stays_when_its_resource_goes(templates: dict[str, Template]) -> None:
    for found in state(templates[LAKE]).values():
        assert (found["DeletionPolicy"], found["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


@pytest.mark.parametrize("prefix", [receipts.ROOT, landing.ROOT, "raw/", "curated/", "features/", "models/"])
def test_what_the_platform_stands_on_never_expires(templates: dict[str, Template], prefix: str) -> None:
    """A shard that was quiet for years goes on from its newest receipt; without it, all its records would land again.

    Data files go by their table's snapshots.
    """
    buckets = resources(templates[LAKE], "AWS::S3::Bucket").items()
    [lake] = [found["Properties"] for name, found in buckets if name.startswith("Lake")]

    ending = {
        rule["Id"]: rule.get("Prefix", "")
        for rule in lake["LifecycleConfiguration"]["Rules"]
        if {"ExpirationInDays", "ExpirationDate"} & rule.keys()
    }
    assert ending
    assert not [name for name, part in ending.items() if prefix.startswith(part) or part.startswith(prefix)]


@pytest.mark.slow
def test_two_switches_together_give_up_data() -> None:
    given_up = synthesize(CONFIGS["dev"], destroy_data=True).templates[LAKE]

    assert {found["DeletionPolicy"] for found in state(given_up).values()} == {"Delete"}


def test_a_stage_that_keeps_its_data_refuses_to_give_it_up() -> None:
    with pytest.raises(RefusedConfig, match="keep_data is True for stage 'prod'"):
        synthesize(CONFIGS["prod"], destroy_data=True)


@pytest.mark.parametrize("name", CONFIGS)
def test_only_a_stage_that_may_lose_its_data_can_be_deleted_at_once(name: str) -> None:
    manifest = json.loads((stage(name).folder / "manifest.json").read_text())

    protected = manifest["artifacts"][LAKE]["properties"].get("terminationProtection", False)

    assert protected is CONFIGS[name].keep_data


def any_config(**changed: Any) -> Config:
    """Give every setting a value of its own, a prime where it is a number."""
    values: dict[str, Any] = {
        "stage": "dev",
        "capacity": "provisioned",
        "expected": Expected(events_per_second=23, peak_events_per_second=20_011, framed=False),
        "shards": 7,
        "stream_hours": 29,
        "batch_window_seconds": 11,
        "frame_kb": 37,
        "fan_out": True,
        "buckets": 13,
        "compaction": "job",
        "keep_data": True,
        "log_days": 731,
        "glue_workers": 17,
        "glue_worker": "G.4X",
        "training_instance": "ml.m5.4xlarge",
        "endpoint_instance": "ml.m5.xlarge",
        "endpoint_instances": 19,
        "front_clients": ("kiosk",),
        "front_origins": ("https://kiosk.example",),
        "front_rate": 1_009,
        "front_quota": 15_485_863,
        "front_firewall": False,
        "budget_usd": 104_729,
        "erasure_max_days": 733,
    }
    return Config(**{**values, **changed})


@pytest.mark.slow
def test_every_setting_reaches_its_own_property() -> None:
    found = synthesize(any_config()).templates
    lake, ingest = found[LAKE], found["Rivermill-Ingest"]
    stream, mapping = only(lake, "AWS::Kinesis::Stream"), only(ingest, "AWS::Lambda::EventSourceMapping")
    jobs = [job["Properties"] for job in resources(found["Rivermill-Process"], "AWS::Glue::Job").values()]
    deploy = function(found["Rivermill-Serve"], names.DEPLOY)["Environment"]["Variables"]
    daily = definition(found)["States"]
    buckets = set(re.findall(r"bucket\[\d+\]", json.dumps(lake)))

    assert (stream["ShardCount"], stream["RetentionPeriodHours"]) == (7, 29)
    assert mapping["MaximumBatchingWindowInSeconds"] == 11
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["FanOut", "ConsumerARN"]}
    assert only(ingest, "AWS::Kinesis::StreamConsumer")["ConsumerName"] == names.CONSUME
    scale = function(ingest, names.SCALE)["Environment"]["Variables"]
    assert (scale["FLOOR"], scale["CEILING"]) == ("2", "28")  # a quarter of 7; 20,011 of 1,016 bytes at 75 %
    assert lake["Outputs"]["FrameBytes"]["Value"] == str(37 * 1024)
    assert buckets == {"bucket[13]"}
    assert {
        group["Properties"]["RetentionInDays"] for group in all_resources(found, "AWS::Logs::LogGroup").values()
    } == {731}
    assert {(job["NumberOfWorkers"], job["WorkerType"]) for job in jobs} == {(17, "G.4X")}
    assert daily["Train"]["Parameters"]["ResourceConfig"]["InstanceType"] == "ml.m5.4xlarge"
    assert (deploy["INSTANCE_TYPE"], deploy["INSTANCE_COUNT"]) == ("ml.m5.xlarge", "19")
    assert only(found["Rivermill-Monitor"], "AWS::Budgets::Budget")["Budget"]["BudgetLimit"]["Amount"] == 104_729


def test_every_setting_of_the_mapping_is_its_own(templates: dict[str, Template]) -> None:
    """Retries passed as parallelism, and the like, cannot hide: no two of the numbers are alike."""
    mapping = only(templates["Rivermill-Ingest"], "AWS::Lambda::EventSourceMapping")
    window = mapping["MaximumBatchingWindowInSeconds"]
    wanted = {
        "BatchSize": BATCH_SIZE,
        "ParallelizationFactor": PARALLELIZATION,
        "MaximumRetryAttempts": RETRIES,
        "MaximumRecordAgeInSeconds": int(RECORD_AGE.to_seconds()),
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "StartingPosition": "TRIM_HORIZON",
        "Enabled": True,
    }

    assert {name: mapping[name] for name in wanted} == wanted
    assert len({BATCH_SIZE, PARALLELIZATION, RETRIES, int(RECORD_AGE.to_seconds()), window}) == 5
    assert mapping["DestinationConfig"]["OnFailure"]["Destination"]


@pytest.mark.parametrize(("name", "scaled"), [("dev", True), ("prod", False)])
def test_only_a_provisioned_stream_is_scaled_by_us_and_by_one_at_a_time(name: str, scaled: bool) -> None:
    ingest = stage(name).templates["Rivermill-Ingest"]
    scalers = [
        each["Properties"]
        for each in resources(ingest, "AWS::Lambda::Function").values()
        if each["Properties"].get("FunctionName") == names.SCALE
    ]

    assert len(scalers) == scaled
    assert all(scaler["ReservedConcurrentExecutions"] == 1 for scaler in scalers)
    assert ("kinesis:UpdateShardCount" in json.dumps(ingest)) is scaled


@pytest.mark.parametrize("name", CONFIGS)
def test_without_the_switch_the_consumer_reads_the_stream_itself(name: str) -> None:
    ingest = stage(name).templates["Rivermill-Ingest"]

    assert not resources(ingest, "AWS::Kinesis::StreamConsumer")
    assert "kinesis:SubscribeToShard" not in json.dumps(ingest)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_record_is_given_up_before_the_stream_forgets_it(name: str) -> None:
    assert RECORD_AGE.to_hours() < CONFIGS[name].stream_hours


def test_the_committer_runs_alone_and_refused_starts_do_not_pile_up(templates: dict[str, Template]) -> None:
    ingest = templates["Rivermill-Ingest"]
    [invoking] = [
        found["Properties"]
        for found in resources(ingest, "AWS::Lambda::EventInvokeConfig").values()
        if found["Properties"]["FunctionName"]["Ref"].startswith("Commit")
    ]

    assert function(ingest, names.COMMIT)["ReservedConcurrentExecutions"] == 1
    assert (invoking["MaximumRetryAttempts"], invoking["MaximumEventAgeInSeconds"]) == (0, 60)


def test_one_learns_at_a_time_and_refused_starts_do_not_pile_up(templates: dict[str, Template]) -> None:
    experiment = templates["Rivermill-Experiment"]
    invoking = only(experiment, "AWS::Lambda::EventInvokeConfig")

    assert function(experiment, names.LEARN)["ReservedConcurrentExecutions"] == 1
    assert (invoking["MaximumRetryAttempts"], invoking["MaximumEventAgeInSeconds"]) == (0, 60)
    rules = {name: rule["Properties"] for name, rule in resources(experiment, "AWS::Events::Rule").items()}
    assert [rule["ScheduleExpression"] for name, rule in rules.items() if "Minute" in name] == ["rate(1 minute)"]
    assert [rule["ScheduleExpression"] for name, rule in rules.items() if "Morning" in name] == ["cron(0 6 * * ? *)"]


def test_deciding_may_write_decisions_and_exposures_and_read_shares_and_nothing_else(
    templates: dict[str, Template],
) -> None:
    policies = resources(templates["Rivermill-Experiment"], "AWS::IAM::Policy").items()
    [policy] = [found["Properties"] for name, found in policies if name.startswith("DecideRole")]
    actions = {
        action
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }

    assert {action for action in actions if not action.startswith(("logs:", "xray:", "kms:"))} == {
        "dynamodb:PutItem",
        "dynamodb:GetItem",
        "dynamodb:Query",  # of the key of units, see grant_purposes
        "kinesis:PutRecord",
    }


@pytest.mark.parametrize("name", [names.REDRIVE, names.CONSERVE])
def test_what_two_would_do_twice_is_done_by_one(templates: dict[str, Template], name: str) -> None:
    assert function(templates["Rivermill-Ingest"], name)["ReservedConcurrentExecutions"] == 1


def test_whatever_rests_is_encrypted(templates: dict[str, Template]) -> None:
    lake = templates[LAKE]
    algorithms = {
        name: rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
        for name, bucket in resources(lake, "AWS::S3::Bucket").items()
        for rule in bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    }
    train, validate = (definition(templates)["States"][step]["Parameters"] for step in ("Train", "Validate"))
    disks = (train["ResourceConfig"], validate["ProcessingResources"]["ClusterConfig"])

    assert sorted(algorithms.values()) == ["AES256", "aws:kms"]  # access logs cannot be under a customer's key
    assert only(lake, "AWS::Kinesis::Stream")["StreamEncryption"]["EncryptionType"] == "KMS"
    assert only(lake, "AWS::SQS::Queue")["KmsMasterKeyId"]
    assert only(lake, "AWS::SNS::Topic")["KmsMasterKeyId"]
    assert all(
        key["Properties"].get("EnableKeyRotation") is True or key["Properties"]["KeyUsage"] == "SIGN_VERIFY"
        for key in resources(lake, "AWS::KMS::Key").values()
    )
    assert train["OutputDataConfig"]["KmsKeyId"]
    assert validate["ProcessingOutputConfig"]["KmsKeyId"]
    assert all(disk["VolumeKmsKeyId"] for disk in disks)


def test_items_are_encrypted_with_our_key_and_can_be_had_back(templates: dict[str, Template]) -> None:
    tables = {found["Properties"]["TableName"]: found["Properties"] for found in items(templates[LAKE])}

    assert tables.keys() >= {names.DECISIONS, names.BANDITS, names.ERASURES}
    for table in (tables[name] for name in (names.DECISIONS, names.BANDITS, names.ERASURES)):
        assert table["SSESpecification"] == {
            "KMSMasterKeyId": {"Fn::GetAtt": ["Key961B73FD", "Arn"]},
            "SSEEnabled": True,
            "SSEType": "KMS",
        }
        assert table["PointInTimeRecoverySpecification"] == {
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": 30,
        }
    assert tables[names.DECISIONS]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert "TimeToLiveSpecification" not in tables[names.BANDITS]


def items(lake: Template) -> list[Template]:
    return list(resources(lake, "AWS::DynamoDB::Table").values())


def test_nothing_is_reached_without_tls(templates: dict[str, Template]) -> None:
    lake = templates[LAKE]
    policies = [
        *resources(lake, "AWS::S3::BucketPolicy").values(),
        *resources(lake, "AWS::SQS::QueuePolicy").values(),
        *resources(lake, "AWS::SNS::TopicPolicy").values(),
    ]

    assert len(policies) == 4
    for policy in policies:
        assert any(
            statement["Effect"] == "Deny" and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        )


def test_no_bucket_can_be_made_public(templates: dict[str, Template]) -> None:
    for bucket in resources(templates[LAKE], "AWS::S3::Bucket").values():
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_every_table_is_declared_with_its_layout_and_its_upkeep(table: Any) -> None:
    lake = stage("dev").templates[LAKE]
    [declared] = [
        found["Properties"]["OpenTableFormatInput"]["IcebergInput"]
        for found in resources(lake, "AWS::Glue::Table").values()
        if (found["Properties"]["DatabaseName"]["Ref"].lower(), found["Properties"]["Name"])
        == (table.database, table.name)
    ]
    laid_out = declared["IcebergTableInput"]
    kinds = {
        found["Properties"]["Type"]
        for found in resources(lake, "AWS::Glue::TableOptimizer").values()
        if (found["Properties"]["DatabaseName"]["Ref"].lower(), found["Properties"]["TableName"])
        == (table.database, table.name)
    }
    names_by_id = {field["Id"]: field["Name"] for field in laid_out["Schema"]["Fields"]}

    assert declared["Version"] == "2"
    assert list(names_by_id.values()) == [column.name for column in table.columns]
    assert [names_by_id[field["SourceId"]] for field in laid_out["PartitionSpec"]["Fields"]] == [table.partition.column]
    assert [names_by_id[field["SourceId"]] for field in laid_out["WriteOrder"]["Fields"]] == list(table.sort)
    assert laid_out["Location"]["Fn::Join"][1][-1] == f"/{table.prefix.rstrip('/')}"
    assert laid_out["Properties"] == layout.properties(table)
    assert kinds == {"compaction", "retention", "orphan_file_deletion"}


@pytest.mark.parametrize("name", CONFIGS)
def test_tables_are_kept_in_shape_by_glue_or_by_the_job_and_never_by_both(name: str) -> None:
    found = stage(name).templates
    optimizers = resources(found[LAKE], "AWS::Glue::TableOptimizer").values()
    by_glue = {optimizer["Properties"]["TableOptimizerConfiguration"]["Enabled"] for optimizer in optimizers}
    nightly = only(found["Rivermill-Process"], "AWS::Glue::Trigger")

    assert by_glue == {CONFIGS[name].compaction == "optimizer"}
    assert nightly["StartOnCreation"] is (CONFIGS[name].compaction == "job")
    assert (nightly["Type"], nightly["Actions"]) == ("SCHEDULED", [{"JobName": "rivermill-compact"}])


def test_every_number_has_a_graph_and_every_limit_an_alarm_that_reaches_people(templates: dict[str, Template]) -> None:
    monitor = templates["Rivermill-Monitor"]
    dashboard = json.dumps(only(monitor, "AWS::CloudWatch::Dashboard"))
    alarms = [alarm["Properties"] for alarm in resources(monitor, "AWS::CloudWatch::Alarm").values()]
    ours = {alarm["MetricName"]: alarm["Threshold"] for alarm in alarms if alarm["Namespace"] == "Rivermill"}

    assert all(metric.name in dashboard for metric in METRICS)
    assert ours == {metric.name: metric.limit for metric in METRICS if metric.limit is not None}
    assert all(alarm["AlarmActions"] and alarm["TreatMissingData"] == "notBreaching" for alarm in alarms)


def test_the_account_is_drawn_by_shard_and_what_was_set_aside_by_reason(templates: dict[str, Template]) -> None:
    dashboard = json.dumps(only(templates["Rivermill-Monitor"], "AWS::CloudWatch::Dashboard")).replace("\\", "")

    for metric in ("Received", "Landed", "Duplicates", "Imbalance"):
        assert f'{{Rivermill,Shard}} MetricName="{metric}"' in dashboard
    assert '{Rivermill,Reason} MetricName="Quarantined"' in dashboard


def test_a_new_model_that_rings_an_alarm_is_taken_back(templates: dict[str, Template]) -> None:
    alarms = resources(templates["Rivermill-Monitor"], "AWS::CloudWatch::Alarm").values()
    named = {alarm["Properties"].get("AlarmName") for alarm in alarms}
    asked = function(templates["Rivermill-Serve"], names.DEPLOY)["Environment"]["Variables"]["ALARMS"]

    assert set(asked.split(",")) <= named


def test_everything_that_takes_tags_is_tagged(templates: dict[str, Template]) -> None:
    for name, found in {f"{s}/{n}": r for s, t in templates.items() for n, r in t["Resources"].items()}.items():
        tags = found.get("Properties", {}).get("Tags")
        if tags is not None:
            pairs = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
            assert pairs["project"] == "rivermill", name
    assert "Tags" in only(templates[LAKE], "AWS::Kinesis::Stream")


def test_only_plain_resource_types_are_used(templates: dict[str, Template]) -> None:
    """A custom resource is a function that nobody sees, and that runs with rights of its own."""
    kinds = {found["Type"] for template in templates.values() for found in template["Resources"].values()}

    assert not [kind for kind in kinds if kind.startswith("Custom::") or "CustomResource" in kind]


def function(template: Template, name: str) -> Template:
    [found] = [
        item["Properties"]
        for item in resources(template, "AWS::Lambda::Function").values()
        if item["Properties"]["FunctionName"] == name
    ]
    return dict(found)


def definition(templates: dict[str, Template]) -> Template:
    """Read the state machine, with each reference as a word."""
    text = only(templates["Rivermill-Orchestrate"], "AWS::StepFunctions::StateMachine")["DefinitionString"]
    parts = text["Fn::Join"][1] if isinstance(text, dict) else [text]
    read: Template = json.loads("".join(part if isinstance(part, str) else "reference" for part in parts))
    return read
