"""DynamoDB on the laptop: of many conditional writes at once, one is first."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from tests.local.builders import any_name


@pytest.mark.slow
def test_of_many_conditional_writes_at_once_one_is_first(cloud: Cloud) -> None:
    client, name = cloud.client("dynamodb"), any_name("items")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
    )

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
