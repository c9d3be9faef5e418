"""CloudFormation as boto3 sees it: exports, changes, rollback, retention and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from local.cloud import Cloud
from local.cloudformation.intrinsics import NO_VALUE, Scope
from local.cloudformation.template import TemplateError, in_order, parse, references

TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "cfn-topic"}}
QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "cfn-queue", "VisibilityTimeout": 31}}


class Stacks:
    """A few calls of CloudFormation, and the stacks to remove at the end."""

    def __init__(self, cloud: Cloud) -> None:
        self.client = cloud.client("cloudformation")
        self.names: list[str] = []

    def create(self, name: str, resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
        self.names.append(name)
        body = json.dumps({"Resources": resources, **sections})
        self.client.create_stack(StackName=name, TemplateBody=body)
        return self.settled(name)

    def update(self, name: str, resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
        self.client.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, **sections}))
        return self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        return dict(self.client.describe_stacks(StackName=name)["Stacks"][0])

    def reasons(self, name: str) -> list[str]:
        events = self.client.describe_stack_events(StackName=name)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]

    def delete(self, name: str) -> str:
        if name in self.names:
            self.names.remove(name)
        identity = self.settled(name)["StackId"]
        self.client.delete_stack(StackName=name)
        return str(self.settled(identity)["StackStatus"])


@pytest.fixture
def stacks(cloud: Cloud) -> Iterator[Stacks]:
    held = Stacks(cloud)
    yield held
    for name in list(reversed(held.names)):
        held.delete(name)


def test_outputs_and_exports_cross_stacks(stacks: Stacks) -> None:
    out = {"Arn": {"Value": {"Fn::GetAtt": ["Topic", "TopicArn"]}, "Export": {"Name": "the-topic"}}}
    first = stacks.create("exporter", {"Topic": TOPIC}, Outputs=out)
    second = stacks.create("importer", {"Queue": QUEUE}, Outputs={"Heard": {"Value": {"Fn::ImportValue": "the-topic"}}})

    assert first["Outputs"][0]["OutputValue"] == second["Outputs"][0]["OutputValue"]
    assert stacks.client.list_imports(ExportName="the-topic")["Imports"] == ["importer"]
    with pytest.raises(ClientError, match="the-topic cannot be deleted as it is in use by importer"):
        stacks.client.delete_stack(StackName="exporter")


def test_a_changed_property_reaches_the_service(cloud: Cloud, stacks: Stacks) -> None:
    stacks.create("changed", {"Queue": QUEUE})
    after = stacks.update(
        "changed", {"Queue": {**QUEUE, "Properties": {"QueueName": "cfn-queue", "VisibilityTimeout": 37}}}
    )
    url = cloud.client("sqs").get_queue_url(QueueName="cfn-queue")["QueueUrl"]
    held = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])

    assert after["StackStatus"] == "UPDATE_COMPLETE"
    assert held["Attributes"]["VisibilityTimeout"] == "37"


def test_a_fixed_property_makes_a_new_resource_and_removes_the_old(cloud: Cloud, stacks: Stacks) -> None:
    stacks.create("replaced", {"Queue": QUEUE})
    stacks.update("replaced", {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "cfn-queue-2"}}})
    urls = cloud.client("sqs").list_queues(QueueNamePrefix="cfn-queue")["QueueUrls"]

    assert [url.rsplit("/", 1)[1] for url in urls] == ["cfn-queue-2"]


def test_what_leaves_the_template_is_removed(cloud: Cloud, stacks: Stacks) -> None:
    stacks.create("shrinking", {"Queue": QUEUE, "Topic": TOPIC})
    stacks.update("shrinking", {"Topic": TOPIC})

    assert "QueueUrls" not in cloud.client("sqs").list_queues(QueueNamePrefix="cfn-queue")


def test_a_failed_creation_says_why_and_leaves_nothing(cloud: Cloud, stacks: Stacks) -> None:
    orphan = {
        "Type": "AWS::Kinesis::StreamConsumer",
        "Properties": {"ConsumerName": "c", "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/none"},
    }
    after = stacks.create("failing", {"Queue": QUEUE, "Consumer": {**orphan, "DependsOn": "Queue"}})

    assert after["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("RegisterStreamConsumer" in reason for reason in stacks.reasons("failing"))
    assert "QueueUrls" not in cloud.client("sqs").list_queues(QueueNamePrefix="cfn-queue")


def test_a_failed_change_is_undone(cloud: Cloud, stacks: Stacks) -> None:
    stacks.create("undone", {"Queue": QUEUE})
    louder = {**QUEUE, "Properties": {"QueueName": "cfn-queue", "VisibilityTimeout": 41}}
    wrong = {
        "Type": "AWS::SNS::Subscription",
        "Properties": {"TopicArn": "arn:aws:sns:us-east-1:123456789012:none", "Protocol": "sqs", "Endpoint": "x"},
    }
    after = stacks.update("undone", {"Queue": louder, "Heard": {**wrong, "DependsOn": "Queue"}})
    url = cloud.client("sqs").get_queue_url(QueueName="cfn-queue")["QueueUrl"]
    held = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])

    assert after["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert held["Attributes"]["VisibilityTimeout"] == "31"
    assert "Heard" not in str(stacks.client.get_template(StackName="undone")["TemplateBody"])


def test_an_export_in_use_is_not_lost(stacks: Stacks) -> None:
    out = {"Arn": {"Value": {"Ref": "Topic"}, "Export": {"Name": "used-topic"}}}
    stacks.create("owner", {"Topic": TOPIC}, Outputs=out)
    stacks.create("user", {"Queue": QUEUE}, Outputs={"Heard": {"Value": {"Fn::ImportValue": "used-topic"}}})
    after = stacks.update("owner", {"Topic": TOPIC})

    assert after["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert after["Outputs"][0]["ExportName"] == "used-topic"
    assert "used-topic as it is in use by user" in str(stacks.client.describe_stack_events(StackName="owner"))


def test_a_misspelt_property_fails_by_name(stacks: Stacks) -> None:
    misspelt = {
        "Type": "AWS::Glue::Database",
        "Properties": {"CatalogId": "1", "DatabaseInput": {"Name": "cfn", "Descripton": "x"}},
    }
    after = stacks.create("misspelt", {"Database": misspelt})

    assert after["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Descripton" in stacks.reasons("misspelt")[-1]


@pytest.mark.parametrize("kind", ["AWS::Redshift::Cluster", "Custom::S3AutoDeleteObjects"])
def test_a_type_that_is_not_made_here_is_refused_by_name_before_anything_is_touched(stacks: Stacks, kind: str) -> None:
    with pytest.raises(ClientError, match=rf"Thing \({kind}\): the laptop cloud"):
        stacks.client.create_change_set(
            StackName="refused",
            ChangeSetName="c",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps({"Resources": {"Queue": QUEUE, "Thing": {"Type": kind}}}),
        )


def test_what_is_retained_outlives_its_stack(cloud: Cloud, stacks: Stacks) -> None:
    stacks.create("kept", {"Queue": {**QUEUE, "DeletionPolicy": "Retain"}, "Topic": TOPIC})

    assert stacks.delete("kept") == "DELETE_COMPLETE"
    url = cloud.client("sqs").get_queue_url(QueueName="cfn-queue")["QueueUrl"]
    cloud.client("sqs").delete_queue(QueueUrl=url)


def test_a_change_set_that_changes_nothing_fails_as_the_cdk_cli_expects(stacks: Stacks) -> None:
    stacks.create("still", {"Topic": TOPIC})
    body = json.dumps({"Resources": {"Topic": TOPIC}})
    stacks.client.create_change_set(StackName="still", ChangeSetName="c", TemplateBody=body)
    described = stacks.client.describe_change_set(StackName="still", ChangeSetName="c")

    assert described["Status"] == "FAILED"
    assert "didn't contain changes" in described["StatusReason"]


def test_a_change_set_tells_a_replacement_from_a_change(stacks: Stacks) -> None:
    stacks.create("told", {"Queue": QUEUE, "Topic": TOPIC})
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "cfn-queue", "VisibilityTimeout": 43}},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "cfn-topic-2"}},
    }
    stacks.client.create_change_set(
        StackName="told", ChangeSetName="c", TemplateBody=json.dumps({"Resources": resources})
    )
    changes = stacks.client.describe_change_set(StackName="told", ChangeSetName="c")["Changes"]

    replaced = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"]["Replacement"] for change in changes
    }
    assert replaced == {"Queue": "False", "Topic": "True"}


def any_scope(**names: Any) -> Scope:
    made = {"Stream.Arn": "arn:stream"}
    return Scope(
        {"AWS::Region": "r", "AWS::NoValue": NO_VALUE, **names},
        lambda logical_id, name: made[f"{logical_id}.{name}"],
        {"shared": "value"}.__getitem__,
        lambda stack, key: f"{stack}/{key}",
        lambda service, reference: f"<{service} {reference}>",
        {"Large": {"Fn::Equals": [{"Ref": "Size"}, "large"]}},
        {"Sizes": {"large": {"shards": 8}}},
    )


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "Size"}, "large"),
        ({"Fn::GetAtt": ["Stream", "Arn"]}, "arn:stream"),
        ({"Fn::GetAtt": "Stream.Arn"}, "arn:stream"),
        (
            {
                "Fn::Sub": "${Size}-${Stream.Arn}-${!Literal}-${x}",
            },
            None,
        ),
        ({"Fn::Sub": ["${Size}/${x}/${!kept}", {"x": {"Ref": "AWS::Region"}}]}, "large/r/${kept}"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Size"}]]}, "a-large"),
        ({"Fn::Select": ["1", {"Fn::Split": [":", "a:b:c"]}]}, "b"),
        ({"Fn::Select": ["2", {"Fn::Cidr": ["10.94.0.0/20", "3", "8"]}]}, "10.94.2.0/24"),
        ({"Fn::If": ["Large", [1, {"Ref": "AWS::NoValue"}], 2]}, [1]),
        ({"Kept": 1, "Left": {"Ref": "AWS::NoValue"}}, {"Kept": 1}),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Size"}, "shards"]}, 8),
        ({"Fn::ImportValue": "shared"}, "value"),
        ({"Fn::Base64": "hi"}, "aGk="),
        ({"Fn::Not": [{"Condition": "Large"}]}, False),
        ("{{resolve:ssm:/a/b}}", "<ssm /a/b>"),
        ({"Fn::Transform": {"Name": "x"}}, None),
    ],
)
def test_functions_are_worked_out(value: Any, resolved: Any) -> None:
    if resolved is None:
        with pytest.raises(TemplateError):
            any_scope(Size="large").resolve(value)
    else:
        assert any_scope(Size="large").resolve(value) == resolved


def test_yaml_short_forms_mean_the_same_as_long_ones() -> None:
    short = parse("Resources:\n  A:\n    Type: T\n    Properties: {X: !GetAtt B.Arn, Y: !Sub '${C}', Z: !Ref D}\n")
    long = {"X": {"Fn::GetAtt": ["B", "Arn"]}, "Y": {"Fn::Sub": "${C}"}, "Z": {"Ref": "D"}}

    assert short["Resources"]["A"]["Properties"] == long


@given(st.dictionaries(st.integers(0, 20), st.sets(st.integers(0, 20), max_size=4), min_size=1))
def test_each_resource_comes_after_all_that_it_refers_to(edges: dict[int, set[int]]) -> None:
    # an edge only to a smaller number, so that there is no cycle
    resources = {
        f"R{node}": {"Properties": [{"Ref": f"R{other}"} for other in others if other < node]}
        for node, others in edges.items()
    }
    order = in_order(resources)

    assert sorted(order) == sorted(resources)
    for name, resource in resources.items():
        needed = [other for other in references(resource["Properties"]) if other in resources]
        assert all(order.index(other) < order.index(name) for other in needed)


def test_a_cycle_is_refused() -> None:
    with pytest.raises(TemplateError, match="Circular dependency"):
        in_order({"A": {"DependsOn": "B"}, "B": {"Properties": {"Ref": "A"}}})
