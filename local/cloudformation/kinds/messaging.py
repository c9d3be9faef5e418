"""Kinesis, SQS, SNS and EventBridge."""

from __future__ import annotations

import json
from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order, keep


def _make_stream(order: Order) -> Made:
    name = order.name("Name", 128)
    mode = order.properties.get("StreamModeDetails")
    arguments: dict[str, Any] = {"StreamModeDetails": mode} if mode else {}
    if "ShardCount" in order.properties:
        arguments["ShardCount"] = order.properties["ShardCount"]
    order.call("kinesis", "create_stream", StreamName=name, **arguments)
    _configure_stream(order, name)
    return Made(name, {"Arn": order.arn("kinesis", f"stream/{name}")})


def _configure_stream(order: Order, name: str) -> None:
    hours = int(order.properties.get("RetentionPeriodHours", 24))
    held = order.call("kinesis", "describe_stream_summary", StreamName=name)["StreamDescriptionSummary"]
    if hours != held["RetentionPeriodHours"]:
        verb = "increase" if hours > held["RetentionPeriodHours"] else "decrease"
        order.call("kinesis", f"{verb}_stream_retention_period", StreamName=name, RetentionPeriodHours=hours)
    if encryption := order.properties.get("StreamEncryption"):
        order.call("kinesis", "start_stream_encryption", StreamName=name, **encryption)
    if tags := order.tags():
        order.call("kinesis", "add_tags_to_stream", StreamName=name, Tags=tags)


def _change_stream(order: Order) -> Made:
    name, shards = order.physical_id, order.properties.get("ShardCount")
    if shards is not None and shards != order.before.get("ShardCount"):
        order.call(
            "kinesis", "update_shard_count", StreamName=name, TargetShardCount=shards, ScalingType="UNIFORM_SCALING"
        )
    mode = order.properties.get("StreamModeDetails")
    if mode and mode != order.before.get("StreamModeDetails"):
        arn = order.attributes["Arn"]
        order.call("kinesis", "update_stream_mode", StreamARN=arn, StreamModeDetails=mode)
    _configure_stream(order, name)
    return Made(name, order.attributes)


def _remove_stream(order: Order) -> None:
    order.call("kinesis", "delete_stream", StreamName=order.physical_id, EnforceConsumerDeletion=True)


def _make_consumer(order: Order) -> Made:
    consumer = order.call("kinesis", "register_stream_consumer", **order.without("Tags"))["Consumer"]
    return Made(consumer["ConsumerARN"], {"ConsumerARN": consumer["ConsumerARN"]})


def _remove_consumer(order: Order) -> None:
    order.call("kinesis", "deregister_stream_consumer", ConsumerARN=order.physical_id)


def _queue_attributes(order: Order) -> dict[str, str]:
    kept = order.without("QueueName", "Tags")
    return {key: json.dumps(value) if isinstance(value, dict) else _text(value) for key, value in kept.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _make_queue(order: Order) -> Made:
    name = order.name("QueueName", 75)
    if str(order.properties.get("FifoQueue", "")).lower() == "true" and not name.endswith(".fifo"):
        name += ".fifo"
    url = order.call("sqs", "create_queue", QueueName=name, Attributes=_queue_attributes(order), tags=order.tags())[
        "QueueUrl"
    ]
    return Made(url, {"Arn": order.arn("sqs", name), "QueueName": name, "QueueUrl": url})


def _change_queue(order: Order) -> Made:
    order.call("sqs", "set_queue_attributes", QueueUrl=order.physical_id, Attributes=_queue_attributes(order))
    return Made(order.physical_id, order.attributes)


def _remove_queue(order: Order) -> None:
    order.call("sqs", "delete_queue", QueueUrl=order.physical_id)


def _put_queue_policy(order: Order) -> Made:
    policy = {"Policy": json.dumps(order.properties["PolicyDocument"])}
    for url in order.properties["Queues"]:
        order.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes=policy)
    return Made(order.physical_id or order.name("", 60))


def _make_topic(order: Order) -> Made:
    name = order.name("TopicName", 200)
    if str(order.properties.get("FifoTopic", "")).lower() == "true" and not name.endswith(".fifo"):
        name += ".fifo"
    arn = order.call("sns", "create_topic", Name=name, Attributes=_topic_attributes(order), Tags=order.tag_list())[
        "TopicArn"
    ]
    for subscription in order.properties.get("Subscription", []):
        order.call("sns", "subscribe", TopicArn=arn, **subscription)
    return Made(arn, {"TopicArn": arn, "TopicName": name})


def _topic_attributes(order: Order) -> dict[str, str]:
    return {key: _text(value) for key, value in order.without("TopicName", "Tags", "Subscription").items()}


def _change_topic(order: Order) -> Made:
    for name, value in _topic_attributes(order).items():
        order.call("sns", "set_topic_attributes", TopicArn=order.physical_id, AttributeName=name, AttributeValue=value)
    for subscription in order.properties.get("Subscription", []):
        order.call("sns", "subscribe", TopicArn=order.physical_id, **subscription)
    return Made(order.physical_id, order.attributes)


def _remove_topic(order: Order) -> None:
    order.call("sns", "delete_topic", TopicArn=order.physical_id)


def _put_topic_policy(order: Order) -> Made:
    policy = order.properties["PolicyDocument"]
    for arn in order.properties["Topics"]:
        order.call("sns", "set_topic_attributes", TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return Made(order.physical_id or order.name("", 60))


def _make_subscription(order: Order) -> Made:
    kept = {key: order.properties[key] for key in ("TopicArn", "Protocol", "Endpoint") if key in order.properties}
    attributes = order.without("TopicArn", "Protocol", "Endpoint", "Region")
    texts = {key: json.dumps(value) if isinstance(value, dict) else _text(value) for key, value in attributes.items()}
    return Made(order.call("sns", "subscribe", **kept, Attributes=texts, ReturnSubscriptionArn=True)["SubscriptionArn"])


def _remove_subscription(order: Order) -> None:
    order.call("sns", "unsubscribe", SubscriptionArn=order.physical_id)


def _put_rule(order: Order) -> Made:
    name = order.physical_id or order.name("Name")
    bus = order.properties.get("EventBusName", "default")
    kept = order.without("Name", "Targets", "Tags", "EventBusName")
    arn = order.call("events", "put_rule", Name=name, EventBusName=bus, **kept)["RuleArn"]
    targets = order.properties.get("Targets", [])
    dropped = {target["Id"] for target in order.before.get("Targets", [])} - {target["Id"] for target in targets}
    if dropped:
        order.call("events", "remove_targets", Rule=name, EventBusName=bus, Ids=sorted(dropped))
    if targets:
        order.call("events", "put_targets", Rule=name, EventBusName=bus, Targets=targets)
    return Made(name, {"Arn": arn})


def _remove_rule(order: Order) -> None:
    bus = order.properties.get("EventBusName", "default")
    targets = order.call("events", "list_targets_by_rule", Rule=order.physical_id, EventBusName=bus)["Targets"]
    if targets:
        ids = [target["Id"] for target in targets]
        order.call("events", "remove_targets", Rule=order.physical_id, EventBusName=bus, Ids=ids)
    order.call("events", "delete_rule", Name=order.physical_id, EventBusName=bus)


def _make_bus(order: Order) -> Made:
    made = order.call("events", "create_event_bus", Name=order.properties["Name"])
    return Made(order.properties["Name"], {"Arn": made["EventBusArn"], "Name": order.properties["Name"]})


def _remove_bus(order: Order) -> None:
    order.call("events", "delete_event_bus", Name=order.physical_id)


KINDS = {
    "AWS::Kinesis::Stream": Kind(_make_stream, _remove_stream, _change_stream, frozenset({"Name"})),
    "AWS::Kinesis::StreamConsumer": Kind(_make_consumer, _remove_consumer),
    "AWS::SQS::Queue": Kind(_make_queue, _remove_queue, _change_queue, frozenset({"QueueName", "FifoQueue"})),
    "AWS::SQS::QueuePolicy": Kind(_put_queue_policy, keep, _put_queue_policy, frozenset({"Queues"})),
    "AWS::SNS::Topic": Kind(_make_topic, _remove_topic, _change_topic, frozenset({"TopicName", "FifoTopic"})),
    "AWS::SNS::TopicPolicy": Kind(_put_topic_policy, keep, _put_topic_policy, frozenset({"Topics"})),
    "AWS::SNS::Subscription": Kind(_make_subscription, _remove_subscription),
    "AWS::Events::Rule": Kind(_put_rule, _remove_rule, _put_rule, frozenset({"Name", "EventBusName"})),
    "AWS::Events::EventBus": Kind(_make_bus, _remove_bus),
}
