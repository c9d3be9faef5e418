"""MSK clusters and their topics."""

from __future__ import annotations

import time
from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order

READY_SECONDS = 120.0
_PROVISIONED_FIXED = frozenset({"ClusterName", "BrokerNodeGroupInfo", "ClientAuthentication", "EncryptionInfo"})
_TOPIC_FIXED = frozenset({"ClusterArn", "TopicName", "ReplicationFactor"})


class NoBroker(RuntimeError):
    """A cluster's broker did not start; the message says why, in one line."""


def _make_provisioned(order: Order) -> Made:
    kept = order.without("ClusterName", "Tags", "CurrentVersion")
    return _make(order, Provisioned=kept)


def _make_serverless(order: Order) -> Made:
    return _make(order, Serverless=order.without("ClusterName", "Tags"))


def _make(order: Order, **kind: Any) -> Made:
    name = order.name("ClusterName")
    arn = order.call("kafka", "create_cluster_v2", ClusterName=name, Tags=order.tags(), **kind)["ClusterArn"]
    end = time.monotonic() + READY_SECONDS
    while (found := order.call("kafka", "describe_cluster_v2", ClusterArn=arn)["ClusterInfo"])["State"] != "ACTIVE":
        if found["State"] == "FAILED" or time.monotonic() > end:
            raise NoBroker(found.get("StateInfo", {}).get("Message") or f"{name} was not ready after {READY_SECONDS} s")
        time.sleep(0.1)
    return Made(arn, {"Arn": arn, "CurrentVersion": "1.0"})


def _change(order: Order) -> Made:
    """One broker serves whatever their number and size."""
    return Made(order.physical_id, order.attributes)


def _remove(order: Order) -> None:
    order.call("kafka", "delete_cluster", ClusterArn=order.physical_id)


def _make_topic(order: Order) -> Made:
    arn = order.call("kafka", "create_topic", **order.properties)["TopicArn"]
    return Made(arn, {"TopicArn": arn})


def _where(order: Order) -> dict[str, str]:
    return {"ClusterArn": order.properties["ClusterArn"], "TopicName": order.properties["TopicName"]}


def _change_topic(order: Order) -> Made:
    order.call("kafka", "update_topic", **_where(order), **order.without(*_TOPIC_FIXED))
    return Made(order.physical_id, order.attributes)


def _remove_topic(order: Order) -> None:
    order.call("kafka", "delete_topic", **_where(order))


KINDS = {
    "AWS::MSK::Cluster": Kind(_make_provisioned, _remove, _change, _PROVISIONED_FIXED),
    "AWS::MSK::ServerlessCluster": Kind(_make_serverless, _remove),
    "AWS::MSK::Topic": Kind(_make_topic, _remove_topic, _change_topic, _TOPIC_FIXED),
}
