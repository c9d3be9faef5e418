"""What a template that breaks a limit gets: the resource and the limit, by name."""

from __future__ import annotations

from typing import Any

import pytest

from stacks import limits
from stacks.config import CONFIGS
from stacks.constructs import function as functions
from stacks.constructs.code import ROOT
from tests.stacks.synthesized import stage

MAPPING = {
    "BatchSize": 10_000,
    "MaximumBatchingWindowInSeconds": 5,
    "ParallelizationFactor": 1,
    "MaximumRetryAttempts": 100,
    "MaximumRecordAgeInSeconds": 21_600,
    "BisectBatchOnFunctionError": True,
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:failed"}},
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
}


def template(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": {"Thing": {"Type": kind, "Properties": properties}}}


def found(kind: str, properties: dict[str, Any]) -> str:
    return "\n".join(str(breach) for breach in limits.breaches(template(kind, properties)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_our_own_templates_keep_every_limit(name: str) -> None:
    for each in stage(name).templates.values():
        assert limits.breaches(each) == []


def test_a_mapping_that_says_everything_passes() -> None:
    assert found("AWS::Lambda::EventSourceMapping", MAPPING) == ""


@pytest.mark.parametrize("name", MAPPING)
def test_a_mapping_that_leaves_anything_to_its_default_is_refused(name: str) -> None:
    silent = {key: value for key, value in MAPPING.items() if key != name}

    assert name in found("AWS::Lambda::EventSourceMapping", silent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BatchSize", 10_001),
        ("BatchSize", True),
        ("MaximumBatchingWindowInSeconds", 301),
        ("ParallelizationFactor", 11),
        ("MaximumRetryAttempts", -1),
        ("MaximumRecordAgeInSeconds", -1),
        ("BisectBatchOnFunctionError", False),
    ],
)
def test_a_mapping_beyond_a_limit_is_refused(name: str, value: object) -> None:
    said = found("AWS::Lambda::EventSourceMapping", {**MAPPING, name: value})

    assert said.startswith("Thing: ")
    assert name in said
    assert repr(value) in said


@pytest.mark.parametrize(
    ("kind", "properties", "words"),
    [
        ("AWS::Lambda::Function", {"Timeout": 901, "MemorySize": 128}, "Timeout"),
        ("AWS::Lambda::Function", {"Timeout": 900, "MemorySize": 64}, "MemorySize"),
        (
            "AWS::Lambda::Function",
            {"Timeout": 1, "MemorySize": 128, "Environment": {"Variables": {"A": "a" * 4_096}}},
            "4,096 bytes",
        ),
        ("AWS::Lambda::Function", {"Timeout": 1, "MemorySize": 128, "Layers": ["l"] * 6}, "5 layers"),
        ("AWS::Kinesis::Stream", {"RetentionPeriodHours": 23}, "RetentionPeriodHours"),
        ("AWS::StepFunctions::StateMachine", {"DefinitionString": "x" * 1_048_577}, "1,048,576 bytes"),
        ("AWS::SageMaker::EndpointConfig", {"ProductionVariants": [{}] * 11}, "10 variants"),
        ("AWS::IAM::ManagedPolicy", {"PolicyDocument": {"Statement": ["x" * 6_200]}}, "6,144 characters"),
        ("AWS::IAM::Policy", {"Roles": [{"Ref": "R"}], "PolicyDocument": {"S": ["x" * 10_300]}}, "10,240 characters"),
    ],
)
def test_a_resource_beyond_a_limit_is_refused(kind: str, properties: dict[str, Any], words: str) -> None:
    assert words in found(kind, properties)


def test_policies_of_one_role_are_added_up() -> None:
    half = {"Type": "AWS::IAM::Policy", "Properties": {"Roles": ["r"], "PolicyDocument": {"S": ["x" * 5_200]}}}

    assert limits.breaches({"Resources": {"A": half}}) == []
    assert len(limits.breaches({"Resources": {"A": half, "B": half}})) == 1


@pytest.mark.parametrize("section", ["Resources", "Parameters", "Outputs"])
def test_a_template_with_too_much_is_refused(section: str) -> None:
    much = {f"Thing{number}": {"Type": "AWS::SNS::Topic"} for number in range(501)}
    broken = {"Resources": {}, section: much}

    assert f"{section}; found 501" in "\n".join(map(str, limits.breaches(broken)))


def test_a_template_that_is_too_large_is_refused() -> None:
    large = template("AWS::SNS::Topic", {"DisplayName": "x" * 1_000_000})

    assert [breach.limit for breach in limits.breaches(large)] == ["at most 1,000,000 bytes"]


def test_a_function_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "UNZIPPED_LIMIT", 1_000)

    with pytest.raises(functions.TooLarge, match="rivermill-consume: code and layers unpack to"):
        functions.check_size("rivermill-consume", [ROOT / "domain"], [])
