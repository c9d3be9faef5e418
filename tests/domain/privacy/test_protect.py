"""Rows are treated as their contract declares, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest

from domain.contract.arrow import arrow_schema
from domain.privacy import sealing, tokens
from domain.privacy.domains import DOMAINS
from domain.privacy.keyring import FIELDS, SIZES, UNITS, DataKey, Keyring, KeyUnavailable, SubjectKey
from domain.privacy.protect import Protection
from domain.schema import Treatment
from domain.tables import QUARANTINE, RAW, Table

RING = Keyring.of(DataKey(purpose, 1, bytes(range(size))) for purpose, size in SIZES.items())
KEYS = {
    token: sealing.new_subject_key()
    for token in tokens.tokenized(pa.array(["u-1", "u-2"]), RING, DOMAINS["user"]).to_pylist()
}


def keys_of(subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
    return {subject: KEYS[subject] for subject in subjects}


def any_rows(table: Table, **columns: list[object]) -> pa.Table:
    """Make rows of a table, null where nothing is said."""
    [count] = {len(values) for values in columns.values()}
    schema = arrow_schema(table.columns)
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def test_a_search_rests_with_a_token_and_what_was_typed_under_the_users_own_key() -> None:
    rows = any_rows(RAW["search"], user_id=["u-1", "u-2", "u-1"], query=["shoes", "hats", "shoes"], results=[1, 2, 3])

    found = Protection(RING, keys_of)(RAW["search"], rows)

    assert found.schema.equals(rows.schema, check_metadata=True)
    assert tokens.revealed(found["user_id"], RING, DOMAINS["user"]).to_pylist() == ["u-1", "u-2", "u-1"]
    assert found["results"].equals(rows["results"])
    for user, query, plain in zip(
        found["user_id"].to_pylist(), found["query"].to_pylist(), rows["query"].to_pylist(), strict=True
    ):
        assert sealing.unshredded(query, KEYS[user], "search.query") == plain


def test_what_is_set_aside_is_sealed_with_what_tells_of_its_value() -> None:
    said: dict[str, list[object]] = {
        "reason": ["not_json"],
        "value": ["ann"],
        "detail": ["'user_id' is ann"],
        "payload": [b"{ann"],
    }

    found = Protection(RING, keys_of)(QUARANTINE, any_rows(QUARANTINE, **said)).to_pylist()[0]

    assert found["reason"] == "not_json"
    assert sealing.unsealed(found["payload"], RING, "quarantine.payload") == b"{ann"
    assert sealing.unsealed(found["value"], RING, "quarantine.value") == "ann"
    assert "ann" not in found["detail"]


def test_a_number_keeps_its_format_where_the_contract_says_so() -> None:
    table = with_treatment(RAW["purchase"], "order_id", Treatment.PRESERVE, "order")

    found = Protection(RING, keys_of)(table, any_rows(table, user_id=["u-1"], order_id=["0012345678"]))

    [order] = found["order_id"].to_pylist()
    assert order != "0012345678" and len(order) == 10 and order.isdigit()


@pytest.mark.parametrize("purpose", sorted(SIZES.keys() - {UNITS}))  # which the consumer has no need of
def test_without_a_key_nothing_is_written(purpose: str) -> None:
    table = with_treatment(RAW["search"], "query", Treatment.ENCRYPT) if purpose == FIELDS else RAW["search"]
    if purpose == "preserved":
        table = with_treatment(RAW["search"], "query", Treatment.PRESERVE, "account")
    ring = Keyring({name: keys for name, keys in RING.keys.items() if name != purpose})

    def wrapped_keys(subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        ring.newest("subjects")
        return keys_of(subjects)

    with pytest.raises(KeyUnavailable):
        Protection(ring, wrapped_keys)(table, any_rows(table, user_id=["u-1"], query=["123456"]))


def with_treatment(table: Table, name: str, treatment: Treatment, domain: str | None = None) -> Table:
    """Declare one of a table's columns otherwise."""
    columns = tuple(
        column._replace(field=column.field._replace(treatment=treatment, domain=domain))
        if column.name == name
        else column
        for column in table.columns
    )
    return table._replace(columns=columns)
