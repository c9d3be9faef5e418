"""Erasing people from every store: whatever is killed, whoever writes meanwhile, nobody else loses a row."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import random
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from clients.privacy import verify
from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.privacy import residue
from domain.privacy.denial import ERASED
from domain.privacy.erasures import Denied
from domain.privacy.words import is_telling
from domain.tables import QUARANTINE, RAW
from lambdas.denied import DenyList
from lambdas.ingest import commit, consume
from lambdas.ingest.bucket import Bucket
from lambdas.privacy import erasure, files, quarantine, request, restatement
from lambdas.privacy import purge as purging
from lambdas.privacy import table as erasing
from tests.databases import anew
from tests.domain.contract.strategies import NOW
from tests.lambdas.ingest.conftest import BUCKET, Lake, create_tables, lock_glue
from tests.lambdas.ingest.conftest import forget as start_anew
from tests.lambdas.privacy.flow import Killed, ask, everywhere, items, killed_at, play
from tests.lambdas.privacy.tables import append, create, ratings

pytestmark = pytest.mark.slow

PEOPLE = ("u-1", "ann@example.net")
OTHERS = ("u-10", "u-11", "joann@example.net", "u-2")
TABLES = ("raw.rating", QUARANTINE.full_name, "curated.rating")
KEY_VALUES = {
    "rivermill-erasures": ("subject", "item"),
    "rivermill-subjects": ("subject", "item"),
    "rivermill-decisions": ("unit", "item"),
}
KILLS = int(os.environ.get("ERASURE_KILLS", "1"))
"""At so many calls of AWS an erasure is killed; a number from the environment kills it at more."""

WORD = re.compile(r"\b[A-Z]?[a-z]{2,}\b")
WRITES = 4
"""Batches of other people that land and are committed while an erasure runs."""


@contextmanager
def people_in(endpoint: str, monkeypatch: pytest.MonkeyPatch, fill: Callable[[Lake], None]) -> Iterator[Lake]:
    """A lake with people in it, versioned, and every other store that names one."""
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "BUCKET": BUCKET}
    for name, value in {**settings, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it takes as long to write as an answer to make
    s3, glue, dynamodb = boto3.client("s3"), boto3.client("glue"), boto3.client("dynamodb")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    lake = Lake(Bucket(s3, BUCKET))
    lock_glue(monkeypatch, lake)
    anew(glue, "raw", "curated", "features")
    for table, keys in KEY_VALUES.items():
        key_value_table(dynamodb, table, keys)
    settle_settings(monkeypatch)
    boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=os.environ["MODEL_PACKAGE_GROUP"])
    forget(monkeypatch)
    create_tables(commit.catalog(), RAW["rating"], QUARANTINE)
    fill(lake)
    yield lake
    for database in ("raw", "curated", "features"):
        glue.delete_database(Name=database)
    for table in KEY_VALUES:
        dynamodb.delete_table(TableName=table)
    empty()
    s3.delete_bucket(Bucket=BUCKET)
    forget(monkeypatch)


@pytest.fixture
def lake(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with people_in(endpoint, monkeypatch, fill) as made:
        yield made


@pytest.fixture
def small(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """A lake with nothing but some events of people in it, for what does not depend on more."""

    def land(lake: Lake) -> None:
        lake.consume(events(PEOPLE + OTHERS))
        lake.commit()

    with people_in(endpoint, monkeypatch, land) as made:
        yield made


@dataclass
class Erased:
    """A whole erasure, looked at by several tests: what was there, what was answered on the way, what is left."""

    before: dict[str, list[dict[str, Any]]]
    answers: list[dict[str, Any]]
    asked: list[dict[str, Any]]
    logged: str
    after: dict[str, list[dict[str, Any]]]
    where: dict[str, set[str]]
    left: dict[str, list[dict[str, Any]]]
    certificates: dict[str, dict[str, Any]]
    package: dict[str, Any]
    public_key: bytes
    again: list[str]
    later: dict[str, Any]
    same: dict[str, dict[str, Any]]
    held: dict[str, Any]

    def certificate(self, place: int) -> dict[str, Any]:
        return self.certificates[self.answers[0]["requests"][place]["subject"]]


@pytest.fixture(scope="module")
def erased(endpoint: str) -> Erased:
    with pytest.MonkeyPatch.context() as monkeypatch, people_in(endpoint, monkeypatch, fill) as lake:
        before, log = ready(lake), io.StringIO()
        with redirect_stdout(log):
            answers = [ask(*PEOPLE, "u-nobody"), ask(*PEOPLE, "u-1 ")]
            asked = items("rivermill-erasures")
            play(lake, "execution-1")
        found = certificates()
        [model] = next(iter(found.values()))["models"]
        return Erased(
            before, answers, asked, log.getvalue(), others(), everywhere(PEOPLE), {t: items(t) for t in KEY_VALUES},
            found, boto3.client("sagemaker").describe_model_package(ModelPackageName=model["model"]),
            boto3.client("kms").get_public_key(KeyId=os.environ["SIGNING_KEY"])["PublicKey"],
            play(lake, "execution-2"), ask(*PEOPLE), certificates(), signed(answers[0]["requests"][0]["subject"]),
        )  # fmt: skip


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each function's process anew."""
    for module in (erasure, request, purging, erasing, quarantine):
        module.client.cache_clear()
    for module in (erasure, request):
        module.settings.cache_clear()
    erasure.people_of.cache_clear()
    erasure.catalog.cache_clear()
    files.client.cache_clear()
    files.kept.clear()
    consume.door.cache_clear()
    start_anew()
    monkeypatch.setattr(erasure, "FENCE", erasure.FENCE * 0)
    monkeypatch.setattr(restatement, "PAUSE_SECONDS", 0.01)


def settle_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    kms = boto3.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    machine = boto3.client("stepfunctions").create_state_machine(
        name="rivermill-erase",
        definition=json.dumps({"StartAt": "P", "States": {"P": {"Type": "Wait", "Seconds": 600, "End": True}}}),
        roleArn="arn:aws:iam::123456789012:role/r",
    )["stateMachineArn"]
    said = {
        "ERASURES": "rivermill-erasures", "SUBJECTS": "rivermill-subjects", "DECISIONS": "rivermill-decisions",
        "ERASURE_KEY": key, "SIGNING_KEY": signing, "MODEL_PACKAGE_GROUP": f"models-{uuid.uuid4()}",
        "JOBS": "", "STREAM_HOURS": "24",
        "RECOVERY_DAYS": "30", "LOG_DAYS": "14", "ERASURE_MAX_DAYS": "30", "MACHINE": machine,
    }  # fmt: skip
    for name, value in said.items():
        monkeypatch.setenv(name, value)


def key_value_table(dynamodb: Any, table: str, keys: tuple[str, ...]) -> None:
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def empty() -> None:
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"])


def events(people: tuple[str, ...], seed: int = 1) -> list[bytes]:
    """Write an event of each person, and a broken one that names them."""
    chance = random.Random(seed)
    found = []
    for person in people:
        for kind in ("rating",):
            said = json.loads(fake_record(EVENTS[kind], chance, NOW)) | {"user_id": person}
            found.append(json.dumps(said).encode())
        found.append(json.dumps(said | {"stars": "many"}).encode())
    return found


def broken(person: str, product: str) -> dict[str, Any]:
    """Say a rating of somebody's that will be set aside."""
    said: dict[str, Any] = json.loads(fake_record(EVENTS["rating"], random.Random(2), NOW))
    return said | {"user_id": person, "product_id": product, "stars": "many"}


def fill(lake: Lake) -> None:
    """Let records land and be committed, curate some, decide, train, ask Athena, and leave an orphan."""
    both = PEOPLE + OTHERS
    lake.consume(events(both))
    lake.commit()
    table = create(commit.catalog(), "curated.rating")
    append(table, ratings([both[number % len(both)] for number in range(60)]))
    register(table.refresh().metadata.current_snapshot_id)
    append(table.refresh(), ratings(list(OTHERS), start=60))
    lake.consume(events(both, seed=2), start=12)  # landed, and not yet committed
    put = lake.bucket.put
    put("athena/a.csv", b'"user_id","n"\n"u-1","3"\n')
    put("athena/b.csv", b'"user_id","n"\n"u-10","3"\n')
    put("training/r/errors.json.gz", gzip.compress(b'{"worst": ["ann@example.net"]}'))
    put("landing/rating/rivermill-events/shard-9/" + "0" * 60 + "-2026-03-01-x.parquet", orphan("u-1", "u-2"))
    put("runs/note", b"of u-1")
    put("runs/note", b"of nobody")  # the version before is the one that says it
    dynamodb = boto3.client("dynamodb")
    for person in both:
        for item in ("decision/e", "reward/r"):
            key = {"unit": {"S": person}, "item": {"S": item}}
            dynamodb.put_item(TableName="rivermill-decisions", Item={**key, "arm": {"S": "b"}})
        own = {"subject": {"S": person}, "item": {"S": "key"}, "wrapped": {"S": "k"}}
        dynamodb.put_item(TableName="rivermill-subjects", Item=own)


def orphan(*people: str) -> bytes:
    body = io.BytesIO()
    pq.write_table(ratings(people), body, compression="zstd")
    return bytes(body.getvalue())


def register(snapshot: int | None) -> None:
    """Enter a model that learned from a snapshot with everybody, and one that learned from nobody's."""
    facts = {"table": "curated.rating", "snapshot": str(snapshot)}
    boto3.client("sagemaker").create_model_package(
        ModelPackageGroupName=os.environ["MODEL_PACKAGE_GROUP"],
        ModelPackageDescription="m",
        CustomerMetadataProperties=facts,
    )


def others() -> dict[str, list[dict[str, Any]]]:
    """Read every row of everybody else, all columns, in an order of its own."""
    found = {}
    for name in TABLES:
        rows = commit.catalog().load_table(name).scan().to_arrow().to_pylist()
        kept = [row for row in rows if row.get("reason") != ERASED and not is_of(row)]
        found[name] = sorted(kept, key=str)
    return found


def is_of(row: dict[str, Any]) -> bool:
    if "user_id" in row:
        return row["user_id"] in PEOPLE
    return json.loads(row["payload"])["user_id"] in PEOPLE


def certificates() -> dict[str, dict[str, Any]]:
    """Read the certificates by digest, each as an outsider's program checks it."""
    pem = boto3.client("kms").get_public_key(KeyId=os.environ["SIGNING_KEY"])["PublicKey"]
    key = serialization.load_der_public_key(pem)
    assert isinstance(key, EllipticCurvePublicKey)
    s3, found = boto3.client("s3"), {}
    for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="certificates/").get("Contents", ()):
        held = json.loads(s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
        said = verify.checked(held, key)
        found[said["subject"]] = said
    assert_chained(list(found.values()))
    return found


def assert_chained(found: list[dict[str, Any]]) -> None:
    """Hold each certificate against the one before it."""
    before = None
    for place, said in enumerate(sorted(found, key=lambda said: said["number"]), 1):
        assert (said["number"], said["previous"]) == (place, before)
        before = sha256(verify.signed_part(said)).hexdigest()


def signed(digest: str) -> dict[str, Any]:
    """Read a certificate with its signature."""
    found = boto3.client("s3").get_object(Bucket=BUCKET, Key=f"certificates/{digest}.json")
    held: dict[str, Any] = json.loads(found["Body"].read())
    return held


def assert_gone(lake: Lake, before: dict[str, list[dict[str, Any]]]) -> None:
    assert others() == before, "another person's row is lost or changed"
    assert everywhere(PEOPLE) == {}
    assert {item["unit"]["S"] for item in items("rivermill-decisions")} == set(OTHERS)
    assert {item["subject"]["S"] for item in items("rivermill-subjects")} == set(OTHERS)


def ready(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """Commit what waits, and read what must be there afterwards."""
    lake.commit()
    return others()


def test_people_leave_every_store_and_nobody_else_loses_a_row(erased: Erased) -> None:
    assert erased.after == erased.before
    assert erased.where == {}
    assert {item["unit"]["S"] for item in erased.left["rivermill-decisions"]} == set(OTHERS)
    assert {item["subject"]["S"] for item in erased.left["rivermill-subjects"]} == set(OTHERS)


def test_certificates_say_what_was_held_and_what_was_read(erased: Erased) -> None:
    first, second, nobody = map(erased.certificate, range(3))

    assert first["rows_held"] == {"raw.rating": 2, "raw.quarantine": 2, "curated.rating": 10}
    assert second["rows_held"] == first["rows_held"]
    assert first["items_deleted"] == {"keys": 1, "decisions": 2}
    assert first["removed_objects"] == {"athena": 1, "landing": 1, "runs": 1, "training": 1}
    assert (nobody["was_held"], nobody["rows_held"], nobody["items_deleted"]) == (False, {}, {})
    assert first["searched"]["bucket"]["found"] == 0
    assert first["searched"]["bucket"]["versions"] > 10


def test_neither_a_request_nor_a_certificate_nor_a_log_says_who(erased: Erased) -> None:
    said = json.dumps([erased.answers, erased.certificates, str(erased.asked), str(erased.left["rivermill-erasures"])])

    assert not [person for person in PEOPLE if person in said + erased.logged]
    assert [item for item in erased.asked if "sealed" in item]
    assert not [item for item in erased.left["rivermill-erasures"] if "sealed" in item], "who it was is forgotten"
    assert erased.logged.count('"audit": "erasure"') == 2


def test_the_same_request_twice_is_one(erased: Erased) -> None:
    first, again = (answer["requests"] for answer in erased.answers)

    assert [each["is_new"] for each in (*first, *again)] == [True, True, True, False, False, False]
    assert [each["subject"] for each in again] == [*(each["subject"] for each in first[:2]), first[0]["subject"]]
    assert {each["state"] for each in erased.later["requests"]} == {"erased"}
    assert erased.later["execution"] is None
    assert (erased.again, erased.same) == (["begin"], erased.certificates)


def test_a_model_that_learned_from_somebody_erased_is_to_be_trained_anew(erased: Erased) -> None:
    certificate = erased.certificate(0)
    [model] = certificate["models"]

    assert (model["held"], model["retrain_by"]) == ("yes", certificate["due_at"][:10])
    assert erased.package["CustomerMetadataProperties"]["retrain_by"] == model["retrain_by"]


def test_a_certificate_that_was_changed_is_not_genuine(erased: Erased, tmp_path: Path) -> None:
    key = serialization.load_der_public_key(erased.public_key)
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(key.public_bytes(*form))
    path = tmp_path / "certificate.json"
    held = erased.held

    path.write_text(json.dumps(held))
    assert verify.verify(path, tmp_path / "key.pem")["was_held"]
    for change in ({"was_held": False}, {"subject": "0" * 64}, {"erased_at": "2026-01-01"}):
        path.write_text(json.dumps(held | {"certificate": held["certificate"] | change}))
        with pytest.raises(verify.NotGenuine, match="the signature is not of this text"):
            verify.verify(path, tmp_path / "key.pem")


def test_an_erasure_that_takes_too_long_is_counted_and_warned_of_before(
    small: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(*PEOPLE)
    now, table = datetime.now(timezone.utc), erasure.erasures()

    assert watched(now + timedelta(days=15), table, capsys) == (0, 50)
    assert watched(now + timedelta(days=31), table, capsys) == (len(PEOPLE), 103)
    play(small, "execution-1")
    assert watched(now + timedelta(days=31), table, capsys) == (0, 0)


def watched(now: datetime, table: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, int]:
    """Look at the queue as the schedule does; return what is counted: those overdue, and the time taken in per cent."""
    capsys.readouterr()
    request.watch(table, now)
    said = {name: value for line in capsys.readouterr().out.splitlines() for name, value in json.loads(line).items()}
    return said["ErasuresOverdue"], round(said["ErasureTime"])


def test_nobody_erased_comes_in_again(lake: Lake) -> None:
    """Late, replayed and redriven records all come by the consumer; one in flight at the request does not count."""
    ask(*PEOPLE)
    lake.consume(events(PEOPLE + OTHERS, seed=3), start=24)
    play(lake, "execution-1")
    lake.consume(events(PEOPLE + OTHERS, seed=4), start=36)
    lake.commit()

    assert everywhere(PEOPLE) == {}
    rows = commit.catalog().load_table(QUARANTINE.full_name).scan().to_arrow().to_pylist()
    assert sum(row["reason"] == ERASED for row in rows) == 8
    assert len(lake.chain()) == 4


def test_a_consumer_that_missed_a_whole_erasure_writes_nothing_of_whom_it_erased(small: Lake) -> None:
    """Not even a file that no receipt names, since nobody would look for it: after a start, and after an hour idle."""
    start = 100
    for idle in (None, 3600.0):
        ask(*PEOPLE)
        play(small, "execution-1")
        door = consume.door()
        assert isinstance(door, DenyList)
        door.denied, door.read_to, door.looked_at = Denied(b""), "", idle and door.clock() - idle
        small.consume(events(PEOPLE + OTHERS, seed=5), start=start)

        assert everywhere(PEOPLE) == {}
        start += 100


def test_no_word_that_only_the_platform_wrote_is_taken_for_a_person(small: Lake) -> None:
    """Whoever is called like one would be found in every table, or have others' objects deleted."""
    tables = [commit.catalog().load_table(name) for name in ("raw.rating", QUARANTINE.full_name)]
    rows = [row for table in tables for row in table.scan().to_arrow().to_pylist()]
    values = {str(value) for row in rows for value in row.values()}
    seen: set[str] = set()
    for key in small.bucket.keys(""):
        body = small.bucket.get(key)
        parts = [key.encode(), *residue.parts(body)]
        seen |= {word for part in parts for word in WORD.findall(part.decode("latin1"))}
        telling = {word for word in seen if is_telling(word) and not any(word in value for value in values)}
        found = residue.found(body, sorted(telling)) | residue.found(key.encode(), sorted(telling))

        assert found == set(), key


def test_what_is_decided_for_somebody_while_they_are_erased_goes_too(
    small: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = erasure.STEPS["sweep"]

    def decided(event: erasure.Event, context: erasure.Context) -> dict[str, Any]:
        for person in ("u-1", "u-2"):
            key = {"unit": {"S": person}, "item": {"S": "decision/e"}}
            boto3.client("dynamodb").put_item(TableName="rivermill-decisions", Item=key)
        return sweep(event, context)

    monkeypatch.setitem(erasure.STEPS, "sweep", decided)
    ask("u-1")
    play(small, "execution-1")

    assert [item["unit"]["S"] for item in items("rivermill-decisions")] == ["u-2"]
    assert len(certificates()) == 1


def test_what_an_erasure_may_not_touch_fails_it_by_name(small: Lake) -> None:
    small.bucket.put("models/m/model.tar.gz", gzip.compress(b"vocabulary: u-1"))
    ask("u-1")

    with pytest.raises(erasure.SubjectRemains, match=r"somebody stands in models/m/model\.tar\.gz"):
        play(small, "execution-1")
    assert certificates() == {}


def test_somebody_called_like_a_product_of_others_leaves_and_the_product_stays(
    small: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product's name in others' rows is no person, in files, notes or models; in a column of people it is one."""
    table = create(commit.catalog(), "curated.rating")
    append(table, ratings([*OTHERS, "p-3"] * 3))  # whose third product is p-3
    small.consume([json.dumps(broken("u-10", "p-3")).encode()], start=40)
    small.commit()
    put = small.bucket.put
    put("models/m/model.tar.gz", gzip.compress(b"products: p-3"))
    put("landing/rating/rivermill-events/shard-9/" + "0" * 60 + "-2026-03-01-x.parquet", orphan("p-3", "u-2"))
    kept = {name: [row for row in rows if row.get("user_id") != "p-3"] for name, rows in others().items()}
    ask("p-3")
    play(small, "execution-1")

    [certificate] = certificates().values()
    assert others() == kept
    assert any(row["product_id"] == "p-3" for row in kept["curated.rating"])
    assert certificate["rows_held"] == {"curated.rating": 3}
    assert certificate["removed_objects"] == {"landing": 1}
    assert (certificate["too_common"], certificate["categories"]) == (1, 1)
    assert "p-3" not in str([certificate, items("rivermill-erasures")])


def test_a_name_that_stands_in_what_others_wrote_freely_fails_its_erasure(
    small: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may well be the person: only somebody who reads it can tell."""
    create_tables(commit.catalog(), RAW["page_view"])
    said = fake_record(EVENTS["page_view"], random.Random(1), NOW)
    small.consume([json.dumps(json.loads(said) | {"user_id": "u-10", "page": "/of/berlin"}).encode()], start=40)
    small.commit()
    monkeypatch.setattr(erasure, "MOST_ROUNDS", 1)
    ask("berlin")

    with pytest.raises(erasure.SubjectRemains, match="somebody stands in landing/page_view/"):
        play(small, "execution-1")


def test_a_job_waits_while_another_is_at_work_and_takes_it_over_once_that_is_dead(
    small: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = {"execution-1"}
    monkeypatch.setattr(erasure, "runs", lambda execution: execution in alive)
    ask("u-1")
    begun = erasure.begin({"execution": "execution-1"}, None)  # type: ignore[arg-type]
    ask("ann@example.net")

    assert erasure.begin({"execution": "execution-2"}, None) == {"state": "busy"}  # type: ignore[arg-type]
    alive.clear()
    taken = play(small, "execution-2")
    assert begun["state"] == "begun"
    assert taken.count("certify") == 2, "the dead one's job, then the queue"
    assert everywhere(PEOPLE) == {}


def test_a_writer_at_work_meanwhile_loses_nothing(lake: Lake) -> None:
    before = ready(lake)

    def write() -> None:
        for batch in range(WRITES):
            lake.consume(events(OTHERS, seed=100 + batch), start=24 + 8 * batch)
            lake.commit()

    ask(*PEOPLE)
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        play(lake, "execution-1")
        writer.result()
    lake.commit()

    after = others()
    assert everywhere(PEOPLE) == {}
    assert {name: [row for row in rows if row in after[name]] for name, rows in before.items()} == before
    assert len(after["raw.rating"]) == len(before["raw.rating"]) + len(OTHERS) * WRITES


@pytest.mark.parametrize("share", [(number + 0.5) / KILLS for number in range(KILLS)])
def test_an_erasure_that_is_killed_is_finished_by_the_next(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Killed before a call that changes something, and again if so much is left; a third execution ends it."""
    monkeypatch.setattr(erasure, "runs", lambda _: False)
    before = ready(lake)
    ask(*PEOPLE)
    with killed_at(monkeypatch, 1 + int(share * CALLS)), pytest.raises(Killed):
        play(lake, "execution-1")
    forget(monkeypatch)
    with killed_at(monkeypatch, 1 + int(share * CALLS) // 2), suppress(Killed):
        play(lake, "execution-2")
    forget(monkeypatch)
    play(lake, "execution-3")

    assert_gone(lake, before)
    assert len(certificates()) == len(PEOPLE)


CALLS = 70
"""An erasure of these people makes no fewer calls that change something."""
