"""Requests to erase: who is meant by what is asked for, and what is refused before anything is written."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from clients.privacy import erase
from domain.privacy import tokens
from domain.privacy.domains import USER
from domain.privacy.keyring import SIZES, TOKENS, UNITS, DataKey, Keyring, KeyUnavailable
from lambdas.privacy import quarantine, request, stored
from lambdas.privacy.people import MOST_SEALED, Person, named, plain

RING = Keyring.of([*(DataKey(TOKENS, version, bytes([version]) * SIZES[TOKENS]) for version in range(1, 5))])
WITH_UNITS = Keyring.of([*RING.keys[TOKENS].values(), DataKey(UNITS, 1, bytes(SIZES[UNITS]))])


NOBODY: dict[str, Any] = {
    "nothing": "",
    "white space": " \t\n",
    "white space of Unicode": "\u3000\u00a0",
    "10 kB": "x" * 10_000,
    "half a character": "ann\ud800",
    "long in UTF-8": "ü" * 300,
    "null": None,
    "a number": 7,
    "a list": ["u-1"],
}


@pytest.mark.parametrize("subject", NOBODY)
def test_who_cannot_be_meant_is_refused_and_not_repeated(subject: str) -> None:
    with pytest.raises(request.Unusable, match=r"^subject 1 must be text of ") as refused:
        request.checked(["u-1", NOBODY[subject]])

    assert "ann" not in str(refused.value)


@pytest.mark.parametrize("subjects", ["u-1", {"u-1": 1}, None, ["u"] * (request.MOST + 1)])
def test_what_is_no_list_of_people_is_refused(subjects: Any) -> None:
    with pytest.raises(request.Unusable, match="a list of at most"):
        request.checked(subjects)


@pytest.mark.parametrize("subject", ["u-1", "U-1", "%", "*", "u-_", "' OR 1=1", "\0", "José", "x" * 512, "日" * 128])
def test_whoever_the_contract_lets_in_can_be_erased(subject: str) -> None:
    assert request.checked([subject]) == [subject]


@pytest.mark.parametrize("letter", ["x", "ü", "日", "\U0001f600", '"'])
def test_how_a_person_is_spelled_fits_into_what_is_sealed_at_once(letter: str) -> None:
    subject = letter * 128
    spelled = (*stored.tokens_of(subject, WITH_UNITS), *stored.unit_of(subject, WITH_UNITS))

    assert len(plain(named(b"k" * 32, subject, spelled))) <= MOST_SEALED


def test_people_whose_names_begin_alike_are_not_one() -> None:
    people = {named(b"k" * 32, subject).digest for subject in ("u-1", "u-12", "U-1", "u-1%", "u_1")}

    assert len(people) == 5


@pytest.mark.parametrize("version", [1, 4])
def test_a_token_stands_for_whose_it_is(version: int) -> None:
    old = Keyring.of([RING.version(TOKENS, version)])
    [token] = tokens.tokenized(pa.array(["u-1"]), old, USER).to_pylist()

    assert stored.meant(token, RING) == "u-1"
    assert named(b"k" * 32, stored.meant(token, RING)).digest == named(b"k" * 32, "u-1").digest


@pytest.mark.parametrize("asked", ["u-1", "t1.", "t1.AAAA", "t9.SMFkeXULnlAAc3LZeQnnbg", "t1.hello", "t1.not a token"])
def test_what_is_no_token_of_ours_is_the_name_itself(asked: str) -> None:
    assert stored.meant(asked, RING) == asked


def test_nobody_is_erased_while_a_version_of_the_key_is_missing_by_which_they_may_be_called() -> None:
    gap = Keyring.of([key for version, key in RING.keys[TOKENS].items() if version != 2])

    with pytest.raises(KeyUnavailable, match="version 2 of the key for tokens is missing or revoked"):
        stored.tokens_of("u-1", gap)
    assert stored.tokens_of("u-1", Keyring.of([])) == ()


def test_a_request_without_a_key_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def entered(*_: Any) -> None:
        raise KeyUnavailable("version 2 of the key for tokens is missing or revoked")

    for name in ("ERASURES", "ERASURE_KEY", "MACHINE", "ERASURE_MAX_DAYS"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    request.settings.cache_clear()
    monkeypatch.setattr(request, "entered", entered)

    refused = request.handler({"subjects": ["u-1"]}, None)["refused"]
    request.settings.cache_clear()

    assert refused["field"] == "keys"
    assert "version 2 of the key for tokens is missing" in refused["fix"]
    assert "take its mark off, and ask again" in refused["fix"]


def test_who_may_be_a_token_copied_wrongly_is_pointed_at() -> None:
    assert erase.odd([{"is_like_a_token": False}, {"is_like_a_token": True}, {}]) == [2]


def aside(*payloads: bytes) -> pa.Table:
    """Set payloads aside."""
    empty = [None] * len(payloads)
    return pa.table(
        {"payload": payloads, "value": pa.array(empty, pa.string()), "detail": pa.array(empty, pa.string())}
    )


@pytest.mark.parametrize("name", ["7", "purchase", "true", "José", "u-1"])
def test_of_what_was_set_aside_only_the_persons_own_is_found(name: str) -> None:
    escaped = f'"{name}"'.encode("ascii", "backslashreplace").replace(b"\\xe9", b"\\u00e9")
    rows = aside(
        b'{"event":"purchase","user_id":' + escaped + b"}",
        b'{"event":"purchase","user_id":"u-9","items":7,"sale":true}',
        b'{"user_id":"Josefine","note":"u-12"}',
        b"[" * 200_000,
    )

    assert quarantine.owners(rows, [Person("digest", (name,))]) == [{"digest"}, set(), set(), set()]


def test_a_name_in_a_text_of_another_is_found_too() -> None:
    rows = aside(b'{"user_id":"u-9","query":"gift for ann@example.net."}')

    assert quarantine.owners(rows, [Person("digest", ("ann@example.net",))]) == [{"digest"}]


@pytest.mark.parametrize("value", ["s1.AAAA", "s1.", "s99.AAAAAAAA", b"\0s1.AAAA", b"\0s"])
def test_what_only_looks_sealed_is_left_as_it_was_sent(value: Any) -> None:
    """Who sent it while privacy was off would else keep every erasure from its end."""
    ring = Keyring.of([DataKey("fields", 1, bytes(32)), DataKey("fields", 99, bytes(32))])

    assert stored.opened(value, "value", ring) == value
