"""Experiments with privacy on: decisions rest under digests, and what lands under tokens is counted to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clients.readout import contexts
from domain.experiment.decision import decision_id
from domain.experiment.features import fingerprint, vector
from domain.experiment.learning import BILLION
from domain.experiments import EXPERIMENTS
from domain.privacy.denial import ERASED
from domain.privacy.keyring import TOKENS, UNITS, KeyUnavailable
from domain.privacy.units import called
from lambdas.datakeys import DataKeys
from lambdas.ingest import consume
from lambdas.privacy import detokenize, request
from lambdas.privacy.erasures import Erasures
from lambdas.privacy.people import People, named
from lambdas.privacy.stores import KeyValues
from tests.lambdas.experiment.conftest import Service, forget, make_table, reward
from tests.lambdas.experiment.test_contextual import OFFER, context
from tests.local.builders import any_name

pytestmark = pytest.mark.slow

PEOPLE = [f"somebody-{number}" for number in range(12)]


@pytest.fixture
def keys(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataKeys]:
    """Privacy on: the tables of keys, and the KMS key that wraps."""
    dynamodb, kms = boto3.client("dynamodb"), boto3.client("kms")
    tables = {"KEYS": any_name("keys"), "SUBJECTS": any_name("subjects")}
    for table, of in zip(tables.values(), ("purpose", "subject"), strict=True):
        make_table(dynamodb, table, of)
    master = kms.create_key()["KeyMetadata"]["KeyId"]
    for name, value in {**tables, "PRIVACY": "on", "PRIVACY_KEY": master}.items():
        monkeypatch.setenv(name, value)
    anew()
    yield DataKeys(dynamodb, kms, tables["KEYS"], master)
    for table in tables.values():
        dynamodb.delete_table(TableName=table)
    monkeypatch.undo()
    anew()


def anew() -> None:
    """Start each function's process anew."""
    forget()
    for function in (request, detokenize):
        for remembered in (function.settings, function.client, function.keys):
            remembered.cache_clear()


def all_asked(service: Service, experiment: str = "ranking", **said: Any) -> dict[str, dict[str, Any]]:
    """Ask for every person, and let what was logged of it land."""
    found = {unit: service.ask(experiment, unit, **said) for unit in PEOPLE}
    service.land(service.exposures())
    return found


def rewards_of(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Reward every person, as the client does: under the decision's name."""
    return [reward(unit, said["arm"], 1.0, f"{said['decision']}-r", said["experiment"]) for unit, said in found.items()]


def items(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = boto3.client("dynamodb").scan(TableName=service.decisions.table)["Items"]
    return found


def landed(service: Service) -> list[pa.Table]:
    s3 = boto3.client("s3")
    listed = s3.list_objects_v2(Bucket=service.bucket, Prefix="landing/").get("Contents", ())
    bodies = (s3.get_object(Bucket=service.bucket, Key=each["Key"])["Body"].read() for each in listed)
    return [pq.read_table(pa.BufferReader(body)) for body in bodies]


def truth(found: dict[str, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Count a reward of one for everybody."""
    arms = [said["arm"] for said in found.values()]
    return {arm: (arms.count(arm), arms.count(arm) * BILLION) for arm in arms}


def test_rewards_are_counted_to_decisions_of_which_nothing_that_rests_names_anybody(
    service: Service, keys: DataKeys
) -> None:
    found = all_asked(service)
    service.land(rewards_of(found) * 2)

    assert service.learn()["refused"] == {}
    assert service.counted() == truth(found)
    rests = json.dumps(items(service), default=str) + "".join(str(rows.to_pylist()) for rows in landed(service))
    assert "somebody" not in rests
    assert {item["unit"]["S"] for item in items(service)} == {called(unit, keys.ring((UNITS,))) for unit in PEOPLE}


def test_the_log_tells_that_the_learner_turned_tokens_back_and_nobody_s_name(
    service: Service, keys: DataKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    service.land(rewards_of(all_asked(service)))

    service.learn()

    said = capsys.readouterr().out
    told = [json.loads(line) for line in said.splitlines() if '"audit"' in line]
    assert [(each["audit"], each["who"], each["values"]) for each in told] == [
        ("reversal", "rivermill-learn", len(PEOPLE))
    ] * 2
    assert "somebody" not in said


def test_contexts_are_learned_from_too(service: Service, keys: DataKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERIMENTS, OFFER.name, OFFER)
    found = all_asked(service, OFFER.name, **context(1))
    service.land(rewards_of(found))

    assert service.learn()["refused"] == {}
    assert service.counted(OFFER.name) == truth(found)


def test_a_decision_s_name_is_the_same_in_every_process_and_cannot_be_guessed(service: Service, keys: DataKeys) -> None:
    first = service.ask("ranking", "u-1")
    anew()
    again = service.ask("ranking", "u-1")

    assert (again["decision"], again["arm"], again["reason"]) == (first["decision"], first["arm"], "kept")
    assert first["unit"] == "u-1"
    for name in ("ranking", "one_page_checkout"):
        said = service.ask(name, "u-1")
        assert said["decision"] != decision_id(name, "u-1", said["arm"])


def test_how_a_unit_is_written_makes_no_other_one_of_it(service: Service, keys: DataKeys) -> None:
    first, again = service.ask("ranking", "\uff41\uff4e\uff4e"), service.ask("ranking", " ann ")

    assert (again["decision"], again["reason"]) == (first["decision"], "kept")


def test_tokens_of_a_newer_key_are_those_of_the_same_units(service: Service, keys: DataKeys) -> None:
    found = all_asked(service)
    keys.rotate(TOKENS)
    consume.keys.cache_clear()
    service.land(rewards_of(found))

    service.learn()

    assert service.counted() == truth(found)
    assert {user[:3] for rows in landed(service) for user in rows["user_id"].to_pylist()} == {"t1.", "t2."}


def test_what_landed_in_clear_before_the_switch_is_counted_to_decisions_of_then(
    service: Service, keys: DataKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setenv("PRIVACY", "off")
        before.setenv("KEYS", "")
        anew()
        found = all_asked(service)
        service.land(rewards_of(found))
    anew()

    service.learn()

    assert service.counted() == truth(found)


def test_without_its_key_a_unit_gets_the_control_and_nothing_of_it_rests(
    service: Service, keys: DataKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.ring((UNITS,), make=True)
    keys.revoke(UNITS, 1)

    for name in ("ranking", "one_page_checkout"):
        said = service.ask(name, "u-1")
        assert (said["reason"], said["decision"]) == ("unavailable", None)
    assert (items(service), service.exposures()) == ([], [])
    assert '"fault": "KeyUnavailable"' in capsys.readouterr().out


@pytest.mark.parametrize("purpose", [TOKENS, UNITS])
def test_without_a_key_nothing_is_learned_until_it_is_back(service: Service, keys: DataKeys, purpose: str) -> None:
    found = all_asked(service)
    service.land(rewards_of(found))
    keys.revoke(purpose, 1)

    with pytest.raises(KeyUnavailable):
        service.learn()
    assert service.counted() == {}
    mark = {"Key": {"purpose": {"S": purpose}, "item": {"S": "version 1"}}, "UpdateExpression": "REMOVE revoked"}
    keys.dynamodb.update_item(TableName=keys.table, **mark)
    service.learn()

    assert service.counted() == truth(found)


def test_whoever_was_erased_is_answered_and_nothing_of_it_lands_or_is_learned(
    service: Service, keys: DataKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door of the consumer keeps their exposures and rewards out, so whoever decides need not ask who is denied."""
    erasures = Erasures(keys.dynamodb, any_name("erasures"))
    make_table(keys.dynamodb, erasures.table, "subject")
    monkeypatch.setenv("ERASURES", erasures.table)
    consume.settings.cache_clear()
    consume.door.cache_clear()
    gone, now = PEOPLE[0], datetime.now(timezone.utc)
    person = named(People(keys.kms, keys.master, erasures).digests_key(), gone)
    assert erasures.request(person.digest, b"sealed", now, now)

    found = all_asked(service)
    service.land(rewards_of(found))
    service.learn()

    consume.door.cache_clear()
    rows = [row for table in landed(service) for row in table.to_pylist()]
    others = {unit: said for unit, said in found.items() if unit != gone}
    assert (found[gone]["reason"], len(service.exposures())) == ("assigned", len(PEOPLE))
    assert service.counted() == truth(others)
    assert [row.get("reason") for row in rows].count(ERASED) == 2
    assert len({row["user_id"] for row in rows if "user_id" in row}) == len(others)
    assert found[gone]["decision"] not in str(rows)


def test_whoever_is_to_be_erased_is_found_among_decisions(
    service: Service, keys: DataKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = all_asked(service)
    service.land(rewards_of(found))
    service.learn()
    gone, kept = PEOPLE[0], len(items(service))
    for name in ("ERASURES", "ERASURE_KEY", "MACHINE", "ERASURE_MAX_DAYS"):
        monkeypatch.setenv(name, "any")
    person = named(b"any key", gone, request.tokens(gone))

    forgotten = KeyValues(boto3.client("dynamodb"), service.decisions.table, ("unit", "item")).forget(person.spellings)

    assert forgotten == 2  # the decision and its reward
    assert len(items(service)) == kept - 2
    assert called(gone, keys.ring((UNITS,))) not in {item["unit"]["S"] for item in items(service)}


def test_the_steward_tells_what_decisions_call_the_units_of_tokens(service: Service, keys: DataKeys) -> None:
    all_asked(service)
    tokens = [user for rows in landed(service) for user in rows["user_id"].to_pylist()]

    said = detokenize.handler({"units": tokens, "domain": "user", "purpose": "value a policy", "who": "a test"}, None)

    assert set(said["units"]) == set(tokens)
    assert set(said["units"].values()) == {item["unit"]["S"] for item in items(service)}


def test_what_chose_for_a_unit_is_found_by_its_token(
    service: Service, keys: DataKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPERIMENTS, OFFER.name, OFFER)
    all_asked(service, OFFER.name, **context(1))
    tokens = [user for rows in landed(service) for user in rows["user_id"].to_pylist()]
    monkeypatch.setattr(contexts, "TABLE", service.decisions.table)
    monkeypatch.setattr(contexts, "call", lambda function, **event: detokenize.handler(event, None))

    found = contexts.contexts(OFFER.name, tokens)

    chosen_by = (fingerprint(OFFER.features), vector(OFFER.features, context(1)))
    assert found == dict.fromkeys(tokens, chosen_by)
