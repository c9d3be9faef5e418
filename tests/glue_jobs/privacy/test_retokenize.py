"""After a rotation rows join again, and what a subject's key sealed still opens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import boto3
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from domain.privacy import sealing, tokens
from domain.privacy.domains import DOMAINS
from domain.privacy.keyring import SIZES, TOKENS, DataKey, Keyring
from domain.tables import CURATED
from glue_jobs import lake as reading
from glue_jobs.privacy.keys import Keys
from glue_jobs.privacy.retokenize import renewal, retokenize
from tests.glue_jobs.frames import Lake

pytestmark = pytest.mark.slow

USER = DOMAINS["user"]
FIRST = [DataKey(purpose, 1, bytes(range(size))) for purpose, size in SIZES.items()]
BEFORE, NOW = Keyring.of(FIRST), Keyring.of([*FIRST, DataKey(TOKENS, 2, bytes(64))])
SUBJECTS = "subjects-of-retokenize"


def token(user: str, ring: Keyring) -> str:
    return str(tokens.tokenized(pa.array([user]), ring, USER)[0].as_py())


@pytest.fixture
def keys(endpoint: str) -> Iterator[Keys]:
    dynamodb = boto3.client("dynamodb")
    dynamodb.create_table(
        TableName=SUBJECTS,
        KeySchema=[{"AttributeName": "subject", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("subject", "item")],
        BillingMode="PAY_PER_REQUEST",
    )
    yield Keys(dynamodb, None, "", SUBJECTS)
    dynamodb.delete_table(TableName=SUBJECTS)


def test_only_what_is_not_of_the_newest_key_is_renewed(spark: SparkSession) -> None:
    users = [token("ann", BEFORE), token("ann", NOW), token("bob", BEFORE), token("bob", BEFORE), "carol", None]
    frame = spark.createDataFrame([(user,) for user in users], "user_id string")

    found = {row.old: row.new for row in renewal(frame, "user_id", NOW, USER).collect()}

    assert found == {
        token("ann", BEFORE): token("ann", NOW),
        token("bob", BEFORE): token("bob", NOW),
        "carol": token("carol", NOW),
    }


def test_rows_join_again_and_a_subjects_key_goes_with_its_token(
    spark: SparkSession, empty_lake: Lake, keys: Keys
) -> None:
    table, moment = CURATED["search"], datetime(2026, 3, 1, tzinfo=timezone.utc)
    own, old = sealing.new_subject_key(), token("ann", BEFORE)
    item = {"subject": {"S": old}, "item": {"S": "key"}, "id": {"B": own.id}}
    wrapped = {"S": sealing.wrapped(own, NOW, old)}
    keys.dynamodb.put_item(TableName=SUBJECTS, Item=item | {"wrapped": wrapped})
    some = {"event_time": moment, "arrived_at": moment, "version": 1, "shard": "s", "sequence": "1", "query": "q"}
    users = (old, token("ann", NOW), token("bob", BEFORE))
    rows = [{"event_id": str(n), "user_id": user, "results": n, **some} for n, user in enumerate(users)]
    empty_lake.append(table, rows)

    renewed = retokenize(spark, table, NOW, keys)

    found = {row.event_id: row.user_id for row in spark.table(reading.name(table)).collect()}
    assert found == {"0": token("ann", NOW), "1": token("ann", NOW), "2": token("bob", NOW)}
    [moved] = keys.dynamodb.scan(TableName=SUBJECTS)["Items"]
    assert moved["subject"]["S"] == token("ann", NOW)
    assert sealing.unwrapped(moved["wrapped"]["S"], own.id, NOW, token("ann", NOW)) == own
    assert (renewed, retokenize(spark, table, NOW, keys)) == (2, 0)
