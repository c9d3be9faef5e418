"""Replace values by tokens: the same value of a domain has the same token, and only its key turns it back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.privacy import spelling
from domain.privacy.aes import Bytes
from domain.privacy.columns import changed
from domain.privacy.domains import HEAD, Domain
from domain.privacy.ff1 import Ff1
from domain.privacy.keyring import PRESERVED, TOKENS, DataKey, Keyring
from domain.privacy.layout import plain
from domain.privacy.normalise import normalised
from domain.privacy.siv import Siv

TOKEN = "t"  # noqa: S105  # a token's first letter
DIGITS, LEAST_DIGITS, MOST_DIGITS = 10, 6, 32
NUMBER = f"^[0-9]{{{LEAST_DIGITS},{MOST_DIGITS}}}$"
BEGINS = HEAD.replace("?P<version>", "?:")


def cipher(key: DataKey, domain: Domain) -> Siv:
    """Bind a key to a domain and to its own version, so that a token of one is none of another."""
    return Siv(key.material, (b"rivermill token", domain.name.encode(), str(key.version).encode()))


def tokenized(column: pa.Array | pa.ChunkedArray, ring: Keyring, domain: Domain) -> pa.Array:
    """Replace a column's values by tokens under the newest key; nulls stay null, and an empty text is a value."""
    key = ring.newest(TOKENS)
    siv = cipher(key, domain)
    return changed(normalised(column, domain), lambda some: spelling.spelled(siv.seal(some), TOKEN, key.version))


def revealed(column: pa.Array | pa.ChunkedArray, ring: Keyring, domain: Domain) -> pa.Array:
    """Turn tokens back, those of all versions; raise NotSpelled or NotAuthentic for what is no token of the domain."""
    return by_version(column, lambda some, version: opened(some, ring.version(TOKENS, version), domain))


def opened(column: pa.Array, key: DataKey, domain: Domain) -> pa.Array:
    """Turn tokens of one key back."""
    siv, head = cipher(key, domain), len(f"{TOKEN}{key.version}.")
    return changed(column, lambda some: siv.open(spelling.read(some, head)))


def renewed(column: pa.Array | pa.ChunkedArray, ring: Keyring, domain: Domain) -> pa.Array:
    """Replace tokens of older keys by those of the newest; what is not a token yet becomes one."""
    whole = plain(column)
    newest = ring.newest(TOKENS)
    is_token = pc.fill_null(pc.match_substring_regex(whole, BEGINS), False)
    is_new = pc.fill_null(pc.starts_with(whole, f"{TOKEN}{newest.version}."), False)
    old = pc.and_(is_token, pc.invert(is_new))
    whole = replaced(whole, old, lambda some: tokenized(revealed(some, ring, domain), ring, domain))
    return replaced(whole, pc.invert(is_token), lambda some: tokenized(some, ring, domain))


def by_version(column: pa.Array | pa.ChunkedArray, change: Callable[[pa.Array, int], pa.Array]) -> pa.Array:
    """Change tokens key by key; raise NotSpelled for what is no token."""
    whole = plain(column)
    said = pc.struct_field(pc.extract_regex(whole, HEAD), "version")
    if said.null_count > whole.null_count:
        odd = whole.filter(pc.and_(pc.is_null(said), pc.is_valid(whole)))
        spelling.version_of(odd[0].as_py(), TOKEN)
        raise spelling.NotSpelled(f"{len(odd)} values are no tokens")
    for version in said.drop_null().unique().to_pylist():
        mask = pc.fill_null(pc.equal(said, version), False)
        number = int(version)
        whole = replaced(whole, mask, lambda some, number=number: change(some, number))  # type: ignore[misc]
    return whole


def replaced(column: pa.Array, mask: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Change the values under a mask."""
    some = column.filter(mask)
    return pc.replace_with_mask(column, mask, change(some)) if len(some) else column


def preserved(column: pa.Array | pa.ChunkedArray, ring: Keyring, domain: Domain) -> pa.Array:
    """Replace numbers by others of as many digits; what is no number of a length that can be kept becomes a token."""
    whole = normalised(column, domain)
    mask = pc.fill_null(pc.match_substring_regex(whole, NUMBER), False)
    kept = replaced(whole, mask, lambda some: changed(some, digit_by_digit(format_cipher(ring, domain).seal)))
    return replaced(kept, pc.and_(pc.invert(mask), pc.is_valid(whole)), lambda some: tokenized(some, ring, domain))


def restored(column: pa.Array | pa.ChunkedArray, ring: Keyring, domain: Domain) -> pa.Array:
    """Undo `preserved`; digits carry no proof, so other digits give wrong ones without a complaint."""
    whole = plain(column)
    mask = pc.fill_null(pc.match_substring_regex(whole, NUMBER), False)
    tokens = pc.and_(pc.invert(mask), pc.is_valid(whole))
    found = replaced(whole, mask, lambda some: changed(some, digit_by_digit(format_cipher(ring, domain).open)))
    return replaced(found, tokens, lambda some: revealed(some, ring, domain))


def format_cipher(ring: Keyring, domain: Domain) -> Ff1:
    """Bind the key to a domain by FF1's tweak; a number has no room for a version, so the first key stays."""
    return Ff1(ring.version(PRESERVED, 1).material, DIGITS, domain.name.encode())


def digit_by_digit(change: Callable[[Bytes], Bytes]) -> Callable[[Bytes], Bytes]:
    """Let a change of digits work on their ASCII."""
    return lambda rows: change(rows - np.uint8(ord("0"))) + np.uint8(ord("0"))
