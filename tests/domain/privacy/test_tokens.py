"""Tokens: equal for equal values of a domain, back by the key alone, and still joining after a rotation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.privacy import tokens
from domain.privacy.columns import SAMPLE, changed
from domain.privacy.domains import DOMAINS, one
from domain.privacy.keyring import SIZES, TOKENS, DataKey, Keyring, KeyUnavailable
from domain.privacy.normalise import normalised
from domain.privacy.siv import NotAuthentic
from domain.privacy.spelling import NotSpelled

USER, EMAIL, PHONE, ACCOUNT = DOMAINS["user"], DOMAINS["email"], DOMAINS["phone"], DOMAINS["account"]
FIRST = [DataKey(purpose, 1, bytes(range(size))) for purpose, size in SIZES.items()]
SECOND = DataKey(TOKENS, 2, bytes(64))
RING, ROTATED = Keyring.of(FIRST), Keyring.of([*FIRST, SECOND])
TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=12)


def column(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


@given(TEXTS)
def test_tokens_are_turned_back_and_equal_for_equal_values_alone(values: list[str | None]) -> None:
    found = tokens.tokenized(column(*values), RING, USER)

    plain = normalised(column(*values), USER)
    assert tokens.revealed(found, RING, USER).equals(plain)
    pairs = set(zip(plain.to_pylist(), found.to_pylist(), strict=True))
    assert len(pairs) == len({value for value, _ in pairs}) == len({token for _, token in pairs})


@given(TEXTS, TEXTS)
def test_a_token_does_not_depend_on_its_neighbours(values: list[str | None], others: list[str | None]) -> None:
    alone = tokens.tokenized(column(*values), RING, EMAIL)

    among = tokens.tokenized(pa.chunked_array([column(*others), column(*values)]), RING, EMAIL)

    assert among.slice(len(others)).equals(alone)


@given(TEXTS)
def test_values_are_normalised_one_by_one(values: list[str | None]) -> None:
    for domain in (USER, EMAIL, PHONE):
        expected = [None if value is None else one(value, domain) for value in values]

        assert normalised(column(*values), domain).to_pylist() == expected


def test_the_same_address_written_in_three_ways_has_one_token() -> None:
    found = tokens.tokenized(column("Ann@Example.net", " ann@example.net ", "ann\uff20example.net"), RING, EMAIL)

    assert len(set(found.to_pylist())) == 1


def test_users_who_differ_by_case_are_two() -> None:
    assert len(tokens.tokenized(column("u-a", "u-A"), RING, USER).unique()) == 2


def test_null_stays_null_and_an_empty_text_is_a_value() -> None:
    null, empty = tokens.tokenized(column(None, ""), RING, USER).to_pylist()

    assert null is None
    assert empty.startswith("t1.")


def test_domains_do_not_join_and_do_not_open_each_other() -> None:
    found = tokens.tokenized(column("4711"), RING, USER)

    assert not found.equals(tokens.tokenized(column("4711"), RING, ACCOUNT))
    with pytest.raises(NotAuthentic):
        tokens.revealed(found, RING, ACCOUNT)


def test_what_is_no_token_is_refused() -> None:
    with pytest.raises(NotSpelled):
        tokens.revealed(column("u-1"), RING, USER)
    with pytest.raises(NotSpelled):
        tokens.revealed(column("t1.AAAA$AAAAAAAAAAAAAAAAAAAAA"), RING, USER)


def test_a_token_whose_key_is_gone_is_not_turned_back() -> None:
    found = tokens.tokenized(column("u-1"), ROTATED, USER)

    with pytest.raises(KeyUnavailable, match="version 2"):
        tokens.revealed(found, RING, USER)
    with pytest.raises(KeyUnavailable):
        tokens.tokenized(column("u-1"), Keyring.of([]), USER)


def test_renewed_tokens_join_whatever_their_version_was() -> None:
    old, new = tokens.tokenized(column("u-1", None), RING, USER), tokens.tokenized(column("u-1"), ROTATED, USER)
    both = pa.concat_arrays([old, new, column("u-1")])

    found = tokens.renewed(both, ROTATED, USER)

    assert found.to_pylist() == [new[0].as_py(), None, new[0].as_py(), new[0].as_py()]
    assert old[0].as_py()[:3] == "t1."


@given(st.lists(st.none() | st.from_regex(r"[0-9]{6,32}", fullmatch=True), max_size=8))
def test_numbers_keep_their_length_and_come_back(values: list[str | None]) -> None:
    found = tokens.preserved(column(*values), RING, ACCOUNT)

    assert tokens.restored(found, RING, ACCOUNT).to_pylist() == values
    assert [value and len(value) for value in found.to_pylist()] == [value and len(value) for value in values]
    assert all(value is None or value.isdigit() for value in found.to_pylist())


@given(st.lists(st.text("0123456789- +x", max_size=10), max_size=8))
@pytest.mark.slow
def test_what_keeps_no_format_becomes_a_token_and_never_rests_in_clear(values: list[str]) -> None:
    found = tokens.preserved(column(*values), RING, ACCOUNT)

    assert tokens.restored(found, RING, ACCOUNT).equals(normalised(column(*values), ACCOUNT))
    assert all(
        token.isdigit() == (plain.strip().isdigit() and len(plain.strip()) >= 6)
        for token, plain in zip(found.to_pylist(), values, strict=True)
    )


def test_distinct_values_are_changed_once() -> None:
    rows: list[int] = []

    def counted(some: object) -> object:
        rows.append(len(some))  # type: ignore[arg-type]
        return some

    repeated = column(*(f"u-{number % 10}" for number in range(5_000)), None)
    varied = column(*(f"u-{number:05d}" for number in range(4 * SAMPLE)))

    assert changed(repeated, counted).equals(repeated)  # type: ignore[arg-type]
    assert sum(rows) == 10
    assert changed(varied, counted).equals(varied)  # type: ignore[arg-type]
    assert sum(rows) == 10 + 4 * SAMPLE


LAYOUTS: dict[str, Callable[[pa.Array], Any]] = {
    "sliced": lambda column: pa.concat_arrays([column, column]).slice(len(column)),
    "in chunks": lambda column: pa.chunked_array([column.slice(0, 1), column.slice(1)]),
    "dictionary": lambda column: column.dictionary_encode(),
    "large": lambda column: column.cast(pa.large_string()),
    "view": lambda column: column.cast(pa.string_view()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("values", [["u-1", None, "", "\u00fc", "u-1"], [], [None, None], ["same"] * 3])
def test_a_value_has_its_token_in_whichever_layout_it_comes(layout: str, values: list[str | None]) -> None:
    laid, plain = LAYOUTS[layout], column(*values)
    found = tokens.tokenized(plain, RING, USER)

    assert tokens.tokenized(laid(plain), RING, USER).equals(found)
    assert tokens.revealed(laid(found), RING, USER).equals(plain)
    assert tokens.renewed(laid(found), ROTATED, USER).equals(tokens.tokenized(plain, ROTATED, USER))
    assert tokens.preserved(laid(plain), RING, ACCOUNT).equals(tokens.preserved(plain, RING, ACCOUNT))


def test_a_column_of_nothing_stays_one() -> None:
    assert tokens.tokenized(pa.nulls(2), RING, USER).to_pylist() == [None, None]


@pytest.mark.parametrize("value", ["", "a", "ab", "abc"])
def test_a_token_that_was_changed_anywhere_is_refused(value: str) -> None:
    [token] = tokens.tokenized(column(value), RING, USER).to_pylist()
    changes = [token[:at] + letter + token[at + 1 :] for at in range(len(token)) for letter in "AZaz059-_+/= ."]
    cut = [token[:at] for at in range(len(token))] + [token + more for more in ("A", "=", "==", " ")]

    for changed_token in {*changes, *cut} - {token}:
        with pytest.raises((NotSpelled, NotAuthentic, KeyUnavailable)):
            tokens.revealed(column(changed_token), RING, USER)


@pytest.mark.parametrize("values", [("n/a", "unknown", "-", ""), ("1-800-FLOWERS", "1-800-LAWYERS", "1800")])
def test_what_is_no_phone_number_is_not_taken_for_another(values: tuple[str, ...]) -> None:
    assert len(tokens.tokenized(column(*values), RING, PHONE).unique()) == len(values)


def test_a_phone_number_is_the_same_in_all_digits_of_unicode() -> None:
    found = tokens.tokenized(
        column("0170 123", "\uff10\uff11\uff17\uff10123", "\u0660\u0661\u0667\u0660123"), RING, PHONE
    )

    assert len(found.unique()) == 1
