"""DynamoDB on the laptop: of many conditional writes at once, one is first."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models.dynamo_type import Item

from local.cloud import Cloud
from tests.local.builders import any_name


def made(client: Any, *keys: str) -> str:
    """Make a table of texts by one key or two."""
    name = any_name("items")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
    )
    return name


@pytest.mark.slow
def test_of_many_conditional_writes_at_once_one_is_first(cloud: Cloud) -> None:
    client = cloud.client("dynamodb")
    name = made(client, "key")

    def put(number: int) -> str:
        """Say whose item stands."""
        item = {"key": {"S": str(number // 20)}, "by": {"N": str(number)}}
        try:
            client.put_item(
                TableName=name,
                Item=item,
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": "key"},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as refused:
            return str(refused.response["Item"]["by"]["N"])
        return str(number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(10) as pool:
            said = list(pool.map(put, range(400)))
    finally:
        sys.setswitchinterval(before)

    assert all(len(set(said[start : start + 20])) == 1 for start in range(0, 400, 20))


@pytest.mark.slow
def test_a_transaction_that_does_not_hold_leaves_every_item_as_it_was(cloud: Cloud) -> None:
    client = cloud.client("dynamodb")
    name = made(client, "of", "item")
    where = [{"of": {"S": "u-1"}, "item": {"S": str(number)}} for number in range(4)]
    for key in where[:3]:
        client.put_item(TableName=name, Item=key | {"n": {"N": "1"}})
    raised = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    actions = [
        {"Update": {"TableName": name, "Key": where[0], **raised}},
        {"Delete": {"TableName": name, "Key": where[1]}},
        {"Put": {"TableName": name, "Item": where[3]}},
        {"Put": {"TableName": name, "Item": where[2], "ConditionExpression": "attribute_not_exists(#of)"}},
    ]
    actions[3]["Put"]["ExpressionAttributeNames"] = {"#of": "of"}
    before = client.scan(TableName=name)["Items"]

    with pytest.raises(client.exceptions.TransactionCanceledException):
        client.transact_write_items(TransactItems=actions)
    assert client.scan(TableName=name)["Items"] == before

    client.transact_write_items(TransactItems=actions[:3])
    left = {item["item"]["S"]: item.get("n", {}).get("N") for item in client.scan(TableName=name)["Items"]}
    assert left == {"0": "2", "2": "1", "3": None}


@pytest.mark.slow
def test_a_transaction_costs_what_it_touches_and_not_what_the_table_holds(cloud: Cloud) -> None:
    """Copies of tables are counted, not seconds."""
    client = cloud.client("dynamodb")
    name = made(client, "key")
    puts = [{"Put": {"TableName": name, "Item": {"key": {"S": str(number)}}}} for number in range(100)]
    client.transact_write_items(TransactItems=puts)
    copied: list[Item] = []

    def noticed(item: Item, memo: dict[int, Any]) -> Item:
        copied.append(item)
        return item

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Item, "__deepcopy__", noticed, raising=False)
        client.transact_write_items(TransactItems=[{"Delete": {"TableName": name, "Key": {"key": {"S": "7"}}}}])

    assert len(copied) <= 2
    assert client.scan(TableName=name, Select="COUNT")["Count"] == 99
