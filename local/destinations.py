"""Send a record of a failed or finished invocation to the queue, topic, function or bucket chosen for it."""

from __future__ import annotations

from typing import Any

from local.cloud import Cloud


class UnsupportedDestination(NotImplementedError):
    """The laptop cloud does not send to this service; the message names it."""


def send(cloud: Cloud, arn: str, body: str, attributes: dict[str, str] | None = None) -> None:
    """Send text to an SQS queue, an SNS topic or a Lambda function. Raises `UnsupportedDestination`."""
    service, name = arn.split(":")[2], arn.split(":", 5)[5]
    if service == "sqs":
        queue = cloud.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        cloud.client("sqs").send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=_typed(attributes))
    elif service == "sns":
        cloud.client("sns").publish(TopicArn=arn, Message=body, MessageAttributes=_typed(attributes))
    elif service == "lambda":
        cloud.client("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=body)
    else:
        raise UnsupportedDestination(f"a destination in {service} ({arn}); use SQS, SNS or Lambda")


def _typed(attributes: dict[str, str] | None) -> dict[str, Any]:
    return {name: {"DataType": "String", "StringValue": value} for name, value in (attributes or {}).items()}
