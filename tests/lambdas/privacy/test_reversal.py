"""What nobody should answer of the steward's function is refused by name, and nothing of it is repeated."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from domain.privacy import tokens
from domain.privacy.domains import USER
from domain.privacy.keyring import FIELDS, SIZES, TOKENS, DataKey, Keyring
from domain.privacy.spelling import NotSpelled
from lambdas.privacy import detokenize

RING = Keyring.of(DataKey(purpose, 1, bytes(SIZES[purpose])) for purpose in (TOKENS, FIELDS))
[TOKEN] = tokens.tokenized(pa.array(["u-1"]), RING, USER).to_pylist()
WHY = {"domain": "user", "purpose": "ticket 4711", "who": "steward"}
NAME = "Ann Lee"
REFUSED: dict[str, dict[str, Any]] = {
    "no purpose": {"tokens": [TOKEN], "purpose": "        "},
    "a purpose that is none": {"tokens": [TOKEN], "purpose": 7},
    "nobody asks": {"tokens": [TOKEN], "who": " "},
    "a domain that is none": {"tokens": [TOKEN], "domain": ["user"]},
    "another domain": {"tokens": [TOKEN], "domain": "email"},
    "no list": {"tokens": TOKEN},
    "an empty list": {"tokens": []},
    "too many": {"tokens": [TOKEN] * 1001},
    "null": {"tokens": [None]},
    "a name": {"tokens": [NAME]},
    "half a character": {"tokens": ["\ud800"]},
    "half a character of a value": {"values": ["\ud800"]},
    "a token cut off": {"tokens": [TOKEN[:-1]]},
    "a head alone": {"tokens": ["t1."]},
    "a key that is gone": {"tokens": ["t9" + TOKEN[2:]]},
    "two things": {"tokens": [TOKEN], "values": [NAME]},
    "sealed, but text": {"sealed": [NAME]},
    "sealed, but nothing": {"sealed": [None]},
    "sealed, and cut off": {"sealed": [{"field": "search.query", "value": "s1.AAAA"}]},
    "sealed, and clear": {"sealed": [{"field": "search.query", "value": NAME}]},
    "sealed by nobody's key": {"sealed": [{"field": "search.query", "value": "k1."}]},
}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Vault:
        """Keys at hand, without KMS."""

        def ring(self) -> Keyring:
            return RING

    monkeypatch.setattr(detokenize, "keys", Vault)
    return lambda **event: detokenize.handler({**WHY, **event}, None)


@pytest.mark.parametrize("wrong", REFUSED)
def test_it_is_refused_and_neither_repeated_nor_written_down(
    answer: Any, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = answer(**REFUSED[wrong])

    assert said.keys() == {"refused"}
    assert "Ann" not in str(said)
    assert capsys.readouterr().out == ""


def test_what_is_asked_rightly_is_answered(answer: Any) -> None:
    assert answer(tokens=[TOKEN]) == {"values": {TOKEN: "u-1"}}


def test_a_job_that_meets_a_name_in_the_place_of_a_token_does_not_say_it() -> None:
    """Its error goes to a log."""
    with pytest.raises(NotSpelled) as raised:
        tokens.revealed(pa.array([TOKEN, NAME]), RING, USER)

    assert "Ann" not in str(raised.value)
