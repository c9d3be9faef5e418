"""One number bounds every store that forgets by itself; what keeps data longer is refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stacks import retention
from stacks.config import CONFIGS, RefusedConfig
from tests.stacks.synthesized import Template, all_resources, resources, stage


@pytest.mark.parametrize("name", CONFIGS)
def test_each_stage_forgets_in_time(name: str) -> None:
    retention.check(CONFIGS[name])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"stream_hours": 8_760}, r"Config\.stream_hours keeps data for 365 days; allowed: at most 30"),
        ({"log_days": 365}, r"Config\.log_days keeps data for 365 days"),
        ({"erasure_max_days": 29}, r"domain\.layout\.history of raw\.accounts keeps data for 30 days"),
        ({"erasure_max_days": 10}, r"Config\.log_days keeps data for 14 days; allowed: at most 10"),
        ({"erasure_max_days": 2, "log_days": 7, "keep_data": True}, r"Config\.log_days"),
    ],
)
def test_what_keeps_data_longer_is_refused_by_name(changed: dict[str, int], words: str) -> None:
    with pytest.raises(RefusedConfig, match=words):
        retention.check(replace(CONFIGS["dev"], **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFIGS)
def test_no_template_says_a_longer_time(name: str) -> None:
    """Read from what is deployed, so that a store that nobody listed is found too."""
    templates, most = stage(name).templates, CONFIGS[name].erasure_max_days
    logs = {
        each["Properties"].get("RetentionInDays") for each in all_resources(templates, "AWS::Logs::LogGroup").values()
    }
    lake = templates["Rivermill-Lake"]
    tables = [each["Properties"] for each in resources(lake, "AWS::DynamoDB::Table").values()]
    backups = [table["PointInTimeRecoverySpecification"] for table in tables]
    streams = [each["Properties"]["RetentionPeriodHours"] for each in resources(lake, "AWS::Kinesis::Stream").values()]

    assert all(days is not None and days <= most for days in logs)
    assert all(hours <= most * 24 for hours in streams)
    assert all(
        backup["PointInTimeRecoveryEnabled"] is False or backup["RecoveryPeriodInDays"] <= most for backup in backups
    )
    assert versions(lake) == ({3} if CONFIGS[name].keep_data else set())


def versions(lake: Template) -> set[int]:
    """Say for how long buckets keep versions that are not current."""
    rules = [
        rule
        for bucket in resources(lake, "AWS::S3::Bucket").values()
        for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    ]
    return {
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules if "NoncurrentVersionExpiration" in rule
    }
