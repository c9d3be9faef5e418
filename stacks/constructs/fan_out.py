"""Let the consumer read the stream beside other readers, or in a lane of its own."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from constructs import Construct

from stacks import names


def source_arn(scope: Construct, stream: kinesis.Stream, role: iam.Role, *, fan_out: bool) -> str:
    """Name what a mapping reads: the stream, whose 2 MB/s a shard all readers share, or a consumer with 2 MB/s alone.

    Either is read from the start: what has landed already is dropped as duplicate, by the receipts.
    """
    if not fan_out:
        return stream.stream_arn
    # An L1: the L2 would grant more than a subscription.
    lane = kinesis.CfnStreamConsumer(scope, "FanOut", consumer_name=names.CONSUME, stream_arn=stream.stream_arn)
    role.add_to_policy(iam.PolicyStatement(actions=["kinesis:SubscribeToShard"], resources=[lane.attr_consumer_arn]))
    return lane.attr_consumer_arn
