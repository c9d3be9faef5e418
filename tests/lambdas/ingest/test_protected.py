"""The consumer with privacy on: what rests is tokens and ciphertext, and without a key a batch waits."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.ingest.redrive import Verdict
from domain.privacy import sealing, tokens
from domain.privacy.domains import DOMAINS
from domain.privacy.keyring import SIZES, TOKENS, KeyUnavailable
from domain.tables import REDRIVEN
from lambdas.datakeys import REFRESH_SECONDS, DataKeys, HeldKeys
from lambdas.ingest import consume, redrive
from lambdas.keys import Warm
from local.cloud import Cloud
from tests.lambdas.ingest.conftest import Lake, Remaining, create_tables, forget

pytestmark = pytest.mark.slow

KEYS, SUBJECTS, PRIVACY_KEY = "keys", "subjects", "alias/privacy"
USER = DOMAINS["user"]
PERSON = "u-7-the-person"


def search(user: str, query: str = "red shoes", **more: Any) -> bytes:
    said = {"event": "search", "event_id": str(uuid.uuid4()), "event_time": "2026-03-01T11:59:00Z", "user_id": user}
    return json.dumps(said | {"query": query, "results": 3} | more).encode()


@dataclass
class Vault:
    """The lake with privacy on, its keys, and the KMS key that wraps them."""

    lake: Lake
    master: str

    @property
    def data(self) -> DataKeys:
        return DataKeys(boto3.client("dynamodb"), boto3.client("kms"), KEYS, PRIVACY_KEY)

    @property
    def warm(self) -> Warm:
        return consume.keys()

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [row for file in self.files(table) for row in pq.read_table(pa.BufferReader(file)).to_pylist()]

    def files(self, table: str = "") -> list[bytes]:
        return [self.lake.bucket.get(key) for key in self.lake.bucket.keys(f"landing/{table}")]


@pytest.fixture(scope="session")
def endpoint(cloud: Cloud) -> str:
    """The laptop cloud's: there conditions hold for one at a time, and a disabled key does nothing."""
    return cloud.endpoint


@pytest.fixture
def vault(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    for name, value in {"PRIVACY": "on", "KEYS": KEYS, "SUBJECTS": SUBJECTS, "PRIVACY_KEY": PRIVACY_KEY}.items():
        monkeypatch.setenv(name, value)
    dynamodb, kms = boto3.client("dynamodb"), boto3.client("kms")
    for table, of in ((KEYS, "purpose"), (SUBJECTS, "subject")):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": of, "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (of, "item")],
            BillingMode="PAY_PER_REQUEST",
        )
    master = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=PRIVACY_KEY, TargetKeyId=master)
    yield Vault(lake, master)
    kms.delete_alias(AliasName=PRIVACY_KEY)
    for table in (KEYS, SUBJECTS):
        dynamodb.delete_table(TableName=table)


def test_what_rests_names_nobody_and_opens_with_the_keys_alone(vault: Vault) -> None:
    vault.lake.consume([search(PERSON), search("u-2"), search(PERSON, "hats"), b'{"event":"search","user_id":"u-7-the'])

    rows = vault.rows("search")
    ring = vault.data.ring()
    users = pa.array([row["user_id"] for row in rows])
    assert tokens.revealed(users, ring, USER).to_pylist() == [PERSON, "u-2", PERSON]
    assert rows[0]["user_id"] == rows[2]["user_id"]
    assert not [file for file in vault.files() if b"u-7-the" in file or b"red shoes" in file]
    [aside] = vault.rows("quarantine")
    assert sealing.unsealed(aside["payload"], ring, "quarantine.payload").startswith(b'{"event":"search"')
    id = sealing.subject_key_id(rows[2]["query"])
    own = vault.warm.subjects.find(rows[2]["user_id"], id, ring)
    assert own and sealing.unshredded(rows[2]["query"], own, "search.query") == "hats"


def test_a_subject_keeps_its_token_and_its_key_in_a_new_process(vault: Vault) -> None:
    vault.lake.consume([search(PERSON)])
    forget()
    vault.lake.consume([search(PERSON)], start=1)

    first, second = vault.rows("search")
    assert first["user_id"] == second["user_id"]
    assert sealing.subject_key_id(first["query"]) == sealing.subject_key_id(second["query"])


def test_what_a_forgotten_subject_typed_opens_never_again(vault: Vault) -> None:
    vault.lake.consume([search(PERSON)])
    [row] = vault.rows("search")
    id, ring = sealing.subject_key_id(row["query"]), vault.data.ring()
    boto3.client("dynamodb").delete_item(
        TableName=SUBJECTS, Key={"subject": {"S": row["user_id"]}, "item": {"S": "key"}}
    )

    assert vault.warm.subjects.find(row["user_id"], id, ring) is None
    forget()
    vault.lake.consume([search(PERSON)], start=1)
    assert sealing.subject_key_id(vault.rows("search")[1]["query"]) != id


@pytest.mark.parametrize("loss", ["revoked", "deleted", "disabled"])
@pytest.mark.parametrize("purpose", [TOKENS, "fields", "subjects"])
def test_without_a_key_the_batch_waits_and_nothing_is_written(vault: Vault, loss: str, purpose: str) -> None:
    vault.data.ring(make=True)
    if loss == "revoked":
        vault.data.revoke(purpose, 1)
    elif loss == "deleted":
        key = {"purpose": {"S": purpose}, "item": {"S": "version 1"}}
        boto3.client("dynamodb").delete_item(TableName=KEYS, Key=key)
    else:
        boto3.client("kms").disable_key(KeyId=vault.master)

    with pytest.raises(KeyUnavailable):
        vault.lake.consume([search(PERSON)])

    assert not list(vault.lake.bucket.keys(""))


def test_a_batch_that_waited_lands_once_its_key_is_back(vault: Vault) -> None:
    vault.data.ring(make=True)
    boto3.client("kms").disable_key(KeyId=vault.master)
    with pytest.raises(KeyUnavailable):
        vault.lake.consume([search(PERSON)])
    boto3.client("kms").enable_key(KeyId=vault.master)

    vault.lake.consume([search(PERSON)])

    assert [receipt.account.landed for receipt in vault.lake.chain()] == [{"search": 1}]


def test_a_warm_process_forgets_a_revoked_key_after_a_while(vault: Vault) -> None:
    now = [0.0]
    held = HeldKeys(vault.data, makes=True, clock=lambda: now[0])
    warm = Warm(held, consume.keys().subjects)
    warm.ring()
    vault.data.revoke(TOKENS, 1)
    now[0] = REFRESH_SECONDS
    warm.ring()
    now[0] = REFRESH_SECONDS + 1

    for _ in range(2):  # nor does it fall back to what it knew
        with pytest.raises(KeyUnavailable, match="revoked"):
            warm.ring()


def test_processes_that_begin_at_once_have_the_same_keys(vault: Vault) -> None:
    with ThreadPoolExecutor(6) as processes:
        rings = list(processes.map(lambda _: vault.data.ring(make=True), range(6)))

    assert all(ring == rings[0] for ring in rings)
    assert {purpose: len(versions) for purpose, versions in rings[0].keys.items()} == dict.fromkeys(SIZES, 1)


def test_processes_that_meet_a_subject_at_once_have_one_key_for_it(vault: Vault) -> None:
    ring, subjects = vault.data.ring(make=True), [f"t1.{number}" for number in range(120)]
    with ThreadPoolExecutor(3) as processes:
        found = list(processes.map(lambda _: consume.keys().subjects.of(subjects, ring), range(3)))

    assert all(each == found[0] for each in found)
    assert found[0].keys() == set(subjects)


def test_tokens_join_over_a_rotation_once_they_are_renewed(vault: Vault) -> None:
    vault.lake.consume([search(PERSON)])
    assert vault.data.rotate(TOKENS) == 2
    forget()
    vault.lake.consume([search(PERSON)], start=1)

    old, new = (row["user_id"] for row in vault.rows("search"))
    assert (old[:3], new[:3]) == ("t1.", "t2.")
    assert tokens.renewed(pa.array([old, new]), vault.data.ring(), USER).to_pylist() == [new, new]


def test_a_key_swapped_for_one_of_another_purpose_is_not_opened(vault: Vault) -> None:
    vault.data.ring(make=True)
    dynamodb = boto3.client("dynamodb")
    find = {"purpose": {"S": "fields"}, "item": {"S": "version 1"}}
    other = dynamodb.get_item(TableName=KEYS, Key=find)["Item"]
    dynamodb.put_item(TableName=KEYS, Item=other | {"purpose": {"S": "subjects"}})

    with pytest.raises(KeyUnavailable, match="KMS does not open version 1 of the key for subjects"):
        vault.data.ring()


@pytest.mark.usefixtures("tables")
def test_redrive_opens_what_was_sealed_and_sends_the_bytes_that_came(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_tables(redrive.catalog(), REDRIVEN)
    for name in ("STREAM", "QUEUE"):
        monkeypatch.setenv(name, "rivermill-events")
    kinesis = boto3.client("kinesis")
    kinesis.create_stream(StreamName="rivermill-events", ShardCount=1)
    bad = search(PERSON, results=-1)
    vault.lake.consume([bad])
    vault.lake.commit()
    monkeypatch.setattr(redrive, "judge", lambda asides: [Verdict(aside, None) for aside in asides])

    told = redrive.handler({"reason": "out_of_bounds", "send": True}, Remaining(900))

    assert told["sent"] == {"out_of_bounds": 1}
    assert sent(kinesis) == [(PERSON, bad)]
    kinesis.delete_stream(StreamName="rivermill-events")


def sent(kinesis: Any) -> list[tuple[str, bytes]]:
    """Read the stream until something is in it."""
    [shard] = kinesis.list_shards(StreamName="rivermill-events")["Shards"]
    where = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    place = kinesis.get_shard_iterator(StreamName="rivermill-events", **where)["ShardIterator"]
    for _ in range(50):
        answer = kinesis.get_records(ShardIterator=place)
        if answer["Records"]:
            return [(record["PartitionKey"], record["Data"]) for record in answer["Records"]]
        place = answer["NextShardIterator"]
        time.sleep(0.2)  # a shard takes five reads a second
    return []
