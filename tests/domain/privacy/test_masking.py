"""What an analyst sees of a table: asked of DuckDB, in whose words sqlglot puts the views."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
import sqlglot

from domain.privacy import masking
from domain.schema import Privacy
from domain.tables import CURATED, SESSIONS, Table

TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMPTZ"}


def seen(table: Table, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Put rows into a table, and read them through its view."""
    with duckdb.connect() as session:
        columns = ", ".join(f'"{column.name}" {TYPES[column.glue_type]}' for column in table.columns)
        session.execute(f"CREATE SCHEMA {table.database}; CREATE TABLE {table.full_name} ({columns})")
        for row in rows:
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
            session.execute(f"INSERT INTO {table.full_name} ({names}) VALUES ({marks})", list(row.values()))
        found = session.execute(sqlglot.transpile(masking.view(table), read="trino", write="duckdb")[0])
        names_of = [column[0] for column in found.description or ()]
        return [dict(zip(names_of, row, strict=True)) for row in found.fetchall()]


@pytest.mark.parametrize("table", masking.MASKED, ids=lambda table: str(table.full_name))
def test_every_column_is_there_and_nothing_that_names_a_person_is_seen(table: Table) -> None:
    secret = {column.name: "u-17" for column in table.columns if column.field.privacy is Privacy.IDENTIFIER}
    [row] = seen(table, secret)

    assert list(row) == [column.name for column in table.columns]
    assert "u-17" not in row.values()


def test_a_token_joins_and_what_is_made_of_an_id_in_clear_is_hidden_with_it() -> None:
    clear, token = seen(SESSIONS, {"user_id": "u-1", "session_id": "5f"}, {"user_id": "t1.Ab-_9", "session_id": "6a"})

    assert (clear["user_id"], clear["session_id"]) == (None, None)
    assert (token["user_id"], token["session_id"]) == ("t1.Ab-_9", "6a")


def test_places_are_generalized_and_amounts_lose_all_digits_but_one() -> None:
    found = seen(SESSIONS, *({"country": place, "revenue": 1847.5} for place in ("DE", "US", "ZZ", None)))

    assert [row["country"] for row in found] == ["DACH", "America", "elsewhere", None]
    assert {row["revenue"] for row in found} == {2000.0}
    assert [row["revenue"] for row in seen(SESSIONS, {"revenue": 0.0}, {"revenue": 0.0449})] == [0.0, 0.04]


def test_what_was_typed_is_not_seen() -> None:
    assert seen(CURATED["search"], {"query": "k1.abc", "results": 3})[0]["query"] is None


def test_a_quasi_identifier_that_nobody_made_coarser_is_refused_by_name() -> None:
    columns = [column._replace(name="postcode") if column.name == "country" else column for column in SESSIONS.columns]

    with pytest.raises(masking.RefusedMask, match=r"curated\.sessions\.postcode is a quasi-identifier; say what is"):
        masking.view(SESSIONS._replace(columns=tuple(columns)))
