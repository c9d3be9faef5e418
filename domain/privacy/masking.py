"""Write the query through which an analyst sees a table: each column as its privacy class lets it be seen."""

from __future__ import annotations

from collections.abc import Mapping

from domain.privacy.anonymize.hierarchy import Tree
from domain.publications import REGIONS
from domain.schema import Column, Privacy, Treatment
from domain.tables import CURATED, SESSIONS, Table

DATABASE = "masked"
TOKEN = "^t[0-9]{1,9}[.][A-Za-z0-9_-]+$"  # noqa: S105 - what tokens look like
BROADER: Mapping[str, Tree] = {"country": REGIONS}
"""What takes the place of a quasi-identifier: the branch that its value is in."""

COARSE = ("device",)
"""Quasi-identifiers of so few values that they may be seen."""

DERIVED = ("session_id",)
"""Made of the subject by a hash without a key: whoever guesses a subject that rests in clear could check the guess."""

MASKED = (*CURATED.values(), SESSIONS)
SQL = {str: "varchar", int: "bigint", float: "double"}


class RefusedMask(TypeError):
    """A column that nobody has said how to mask; names it and what to declare."""


def view(table: Table) -> str:
    """Write a table's query, in Athena's SQL.

    >>> view(CURATED["search"]).split(", ")[-2]
    'CAST(NULL AS varchar) AS "query"'
    """
    columns = ", ".join(f'{masked(table, column)} AS "{column.name}"' for column in table.columns)
    return f'SELECT {columns} FROM "{table.database}"."{table.name}"'  # noqa: S608 - names are declarations


def masked(table: Table, column: Column) -> str:
    """Say what is seen of a column."""
    name, field = f'"{column.name}"', column.field
    if field.privacy is Privacy.IDENTIFIER or column.name == table.subject:
        # A token joins and names nobody; whatever rests in clear is not seen.
        return if_token(name, name) if field.treatment is Treatment.TOKENIZE else hidden(column)
    if column.name in DERIVED:
        return if_token(f'"{table.subject}"', name)
    if field.privacy is Privacy.SENSITIVE:
        return rounded(name) if column.kind is float else hidden(column)
    if field.privacy is Privacy.QUASI_IDENTIFIER and column.name not in COARSE:
        if column.name not in BROADER or column.kind is not str:
            said = f"{table.full_name}.{column.name} is a quasi-identifier"
            raise RefusedMask(
                f"{said}; say what is broader in BROADER, or that it is coarse (domain/privacy/masking.py)"
            )
        return broader(name, BROADER[column.name])
    return name


def if_token(subject: str, name: str) -> str:
    """Show a column where the subject rests as a token."""
    return f"CASE WHEN regexp_like({subject}, '{TOKEN}') THEN {name} END"


def hidden(column: Column) -> str:
    """Show nothing, of the column's type."""
    return f"CAST(NULL AS {SQL[column.kind]})"


def rounded(name: str) -> str:
    """Show a number's first digit."""
    unit = f"power(10, floor(log10(abs({name}))))"
    return f"CASE WHEN {name} = 0 THEN 0 ELSE round({name} / {unit}) * {unit} END"


def broader(name: str, tree: Tree) -> str:
    """Show the branch that a word is in.

    >>> broader("x", Tree({"*": ("fruit", "else"), "fruit": ("fig", "plum")}, other="else"))
    "CASE WHEN x IS NULL THEN NULL WHEN x IN ('fig', 'plum') THEN 'fruit' ELSE 'else' END"
    """
    branches: dict[str, list[str]] = {}
    for leaf, (_, above, *_rest) in tree.paths.items():
        if above != tree.root:
            branches.setdefault(above, []).append(f"'{leaf}'")
    cases = " ".join(f"WHEN {name} IN ({', '.join(leaves)}) THEN '{branch}'" for branch, leaves in branches.items())
    rest = f"'{tree.other}'" if tree.other else "NULL"
    return f"CASE WHEN {name} IS NULL THEN NULL {cases} ELSE {rest} END"
