"""Write the same value in the same way, so that it has the same token."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from domain.privacy.domains import Domain, one
from domain.privacy.layout import plain

PLAIN = r"^[!-~]([ -~]*[!-~])?$"
"""Printable ASCII without white space around it: NFKC and stripping leave it as it is."""


def normalised(column: pa.Array | pa.ChunkedArray, domain: Domain) -> pa.Array:
    """Bring each value of a column of text to its domain's form; nulls stay null.

    >>> normalised(pa.array([" Ann@Example.net", None, ""]), Domain("email", ignores_case=True)).to_pylist()
    ['ann@example.net', None, '']
    """
    whole = plain(column)
    if domain.is_phone:
        return rewritten(whole, pa.repeat(pa.scalar(True), len(whole)), domain)
    odd = pc.fill_null(pc.invert(pc.match_substring_regex(whole, PLAIN)), False)
    lowered = pc.ascii_lower(whole) if domain.ignores_case else whole
    return rewritten(lowered, odd, domain) if pc.any(odd).as_py() else lowered


def rewritten(column: pa.Array, mask: pa.Array, domain: Domain) -> pa.Array:
    """Write the values under a mask by the rule that holds for all text, each distinct one once."""
    some = column.filter(mask).dictionary_encode()
    values = pa.array([one(value, domain) for value in some.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(column, mask, values.take(some.indices))
