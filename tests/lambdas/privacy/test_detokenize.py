"""Detokenize: tokens come back for a purpose, nothing comes back without one, and the log never says whose."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pyarrow as pa
import pytest

from clients.operations import functions
from clients.privacy import detokenize as steward
from clients.privacy.__main__ import main
from domain.privacy.keyring import TOKENS
from lambdas.ingest import consume
from lambdas.privacy import detokenize, stored
from tests.lambdas.ingest.test_protected import PERSON, SUBJECTS, Vault, search, vault  # noqa: F401  # a fixture

pytestmark = pytest.mark.slow

WHY = {"domain": "user", "purpose": "ticket 4711: a user asks", "who": "arn:aws:iam::1:role/steward"}


@pytest.fixture
def landed(vault: Vault) -> Vault:  # noqa: F811  # the fixture
    """Searches of two people, as they rest."""
    for function in (detokenize.settings, detokenize.client, detokenize.keys):
        function.cache_clear()
    vault.lake.consume([search(PERSON), search("u-2", "hats"), b'{"event":"search","user_id":"u-7-the'])
    return vault


def ask(**event: Any) -> dict[str, Any]:
    return detokenize.handler({**WHY, **event}, None)


def test_tokens_come_back_and_the_log_tells_who_asked_and_not_about_whom(
    landed: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    users = [row["user_id"] for row in landed.rows("search")]

    answer = ask(tokens=users)

    assert answer == {"values": dict(zip(users, [PERSON, "u-2"], strict=True))}
    [said] = [line for line in capsys.readouterr().out.splitlines() if '"audit"' in line]
    told = json.loads(said)
    assert (told["audit"], told["who"], told["purpose"], len(told["subjects"])) == (
        "reversal",
        WHY["who"],
        WHY["purpose"],
        2,
    )
    assert PERSON not in said and users[0] not in said


def test_values_give_the_tokens_of_every_version(landed: Vault) -> None:
    [first, _] = [row["user_id"] for row in landed.rows("search")]
    landed.data.rotate(TOKENS)
    detokenize.keys.cache_clear()

    found = ask(values=[PERSON])["tokens"][PERSON]

    assert [token[:3] for token in found] == ["t2.", "t1."]
    assert found[1] == first


def test_what_was_sealed_comes_back_until_its_subject_is_forgotten(landed: Vault) -> None:
    [row, _] = landed.rows("search")
    [aside] = landed.rows("quarantine")
    typed = {"field": "search.query", "value": row["query"], "subject": row["user_id"]}

    assert ask(sealed=[typed, {"field": "quarantine.detail", "value": aside["detail"]}])["opened"][0] == "red shoes"
    key = {"subject": {"S": row["user_id"]}, "item": {"S": "key"}}
    boto3.client("dynamodb").delete_item(TableName=SUBJECTS, Key=key)
    assert "never be read again" in ask(sealed=[typed])["refused"]["fix"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"purpose": ""}, "purpose"),
        ({"purpose": "because"}, "purpose"),
        ({"purpose": None}, "purpose"),
        ({"who": " "}, "who"),
        ({"domain": "nobody"}, "domain"),
        ({"tokens": []}, "tokens, values, units or sealed"),
        ({"tokens": ["t1.A"] * 1_001}, "tokens, values, units or sealed"),
        ({"values": ["u-1"]}, "tokens, values, units or sealed"),
        ({"tokens": [7]}, "tokens"),
        ({"all": True}, "all"),
        ({"tokens": [PERSON]}, "tokens"),
        ({"domain": "email"}, "tokens"),
    ],
)
def test_a_request_that_is_not_right_is_refused_and_logged_by_nobody(
    landed: Vault, event: dict[str, Any], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [token, _] = [row["user_id"] for row in landed.rows("search")]
    capsys.readouterr()

    answer = ask(**{"tokens": [token], **event})

    assert answer["refused"]["field"] == field
    assert PERSON not in json.dumps(answer)
    assert not capsys.readouterr().out


def test_an_erasure_knows_a_person_by_each_token_and_reads_what_was_set_aside(landed: Vault) -> None:
    ring = landed.data.ring()
    schema = {"payload": pa.binary(), "value": pa.string(), "detail": pa.string()}
    rows = pa.Table.from_pylist(landed.rows("quarantine")).select(list(schema))

    assert stored.tokens_of(PERSON, ring) == (landed.rows("search")[0]["user_id"],)
    [opened] = stored.set_aside_in_clear(rows.cast(pa.schema(schema)), ring).to_pylist()
    assert opened["payload"] == b'{"event":"search","user_id":"u-7-the'
    assert "not JSON" in opened["detail"]
    assert consume.settings().privacy == "on"


def test_a_steward_asks_by_the_command_line(
    landed: Vault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [token, _] = [row["user_id"] for row in landed.rows("search")]
    monkeypatch.setattr(steward, "me", lambda: "arn:aws:sts::1:assumed-role/rivermill-steward/ann")
    monkeypatch.setattr(functions, "call", lambda name, **event: refusing(detokenize.handler(event, None)))

    assert main(["detokenize", "--tokens", token, "--purpose", "ticket 4711: a user asks"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{token}\t{PERSON}"
    assert main(["detokenize", "--values", PERSON, "--purpose", "ticket 4711: a user asks"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{PERSON}\t{token}"
    [aside] = landed.rows("quarantine")
    asked = ["detokenize", "--sealed", aside["detail"], "--field", "quarantine.detail"]
    assert main([*asked, "--purpose", "ticket 4712: a producer sends half of a record"]) == 0
    assert "the record is not JSON" in capsys.readouterr().out.splitlines()[-1]
    assert main(["detokenize", "--tokens", token]) == 2
    assert "purpose" in capsys.readouterr().err


def refusing(answer: dict[str, Any]) -> dict[str, Any]:
    """Raise for a refusal, as the client does."""
    if refused := answer.get("refused"):
        raise functions.CannotBeDone(f"{refused['field']}: {refused['fix']}")
    return answer
