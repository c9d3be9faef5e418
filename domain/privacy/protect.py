"""Treat the fields of rows as the contract declares, before the rows rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from domain.privacy import sealing, tokens
from domain.privacy.domains import DOMAINS
from domain.privacy.keyring import FIELDS, Keyring, SubjectKey
from domain.schema import Column, Treatment
from domain.tables import Table

KeysOf = Callable[[Sequence[str]], Mapping[str, SubjectKey]]
"""Gives each subject's own key, also to one who had none; subjects are named as they rest, by their tokens."""


@dataclass(frozen=True, slots=True)
class Protection:
    """Tokenizes and encrypts rows with the keys at hand; raises KeyUnavailable rather than let a value through."""

    ring: Keyring
    keys_of: KeysOf

    def __call__(self, table: Table, rows: pa.Table) -> pa.Table:
        """Give the rows of a table with each field treated; the schema stays.

        What is kept or generalized stays: it is generalized in what analysts see.
        """
        for column in having(table, Treatment.TOKENIZE, Treatment.PRESERVE, Treatment.ENCRYPT):
            rows = put(rows, column, self.treated(table, column, rows[column.name]))
        # Under keys of the subjects', so only now that these have their tokens.
        shreddable = having(table, Treatment.SHRED)
        return self.shredded(table, shreddable, rows) if shreddable else rows

    def treated(self, table: Table, column: Column, values: pa.ChunkedArray) -> pa.Array:
        """Treat one column."""
        field = column.field
        if field.treatment is Treatment.TOKENIZE:
            return tokens.tokenized(values, self.ring, DOMAINS[str(field.domain)])
        if field.treatment is Treatment.PRESERVE:
            return tokens.preserved(values, self.ring, DOMAINS[str(field.domain)])
        return sealing.sealed(values, self.ring.newest(FIELDS), context(table, column))

    def shredded(self, table: Table, columns: Sequence[Column], rows: pa.Table) -> pa.Table:
        """Seal columns under the keys of the rows' subjects."""
        subjects = rows[str(table.subject)]
        keys = self.keys_of(subjects.unique().to_pylist())
        for column in columns:
            values = sealing.shredded(rows[column.name], subjects, keys, context(table, column))
            rows = put(rows, column, values)
        return rows


def put(rows: pa.Table, column: Column, values: pa.Array) -> pa.Table:
    """Put a column's values in the place of those it had."""
    place = rows.schema.get_field_index(column.name)
    return rows.set_column(place, rows.schema.field(place), values)


def having(table: Table, *treatments: Treatment) -> list[Column]:
    """List the columns with one of the treatments."""
    return [column for column in table.columns if column.field.treatment in treatments]


def context(table: Table, column: Column) -> str:
    """Name a field in what it is sealed for: a raw table and the curated one of its event are the same here.

    >>> from domain.tables import RAW
    >>> context(RAW["search"], RAW["search"].columns[-2])
    'search.query'
    """
    return f"{table.name}.{column.name}"
