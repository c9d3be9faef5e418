"""Encrypt fields so that the same value never looks the same, under a key of the platform's or of the subject's own."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias, TypeVar

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.privacy import spelling
from domain.privacy.aes import block, doubled, xor
from domain.privacy.columns import changed
from domain.privacy.keyring import FIELDS, SEALED_BYTES, SUBJECTS, DataKey, Keyring, KeyUnavailable, SubjectKey
from domain.privacy.layout import plain
from domain.privacy.siv import NotAuthentic

SEALED, SHREDDABLE, WRAPPED = "s", "k", "w"
SALT, NONCE, KEY_ID, KEY_BYTES, TAG = 12, 12, 8, 32, 16
OWN_VERSION = 1
BINARY = SEALED_BYTES[:1]
"""Stands before sealed bytes where a column holds bytes."""

Chunk: TypeAlias = "pa.Array | pa.ChunkedArray"
T = TypeVar("T", str, bytes)
Encrypt = Callable[[bytes, bytes, bytes], bytes]


def sealed(column: Chunk, key: DataKey, context: str) -> pa.Array:
    """Seal a column of text or bytes; `context` says which field it is, and opens it nowhere else."""
    about, salt, whole = bound(key, context), os.urandom(SALT), plain(column)
    encrypt, texts = salted(key, salt), as_bytes(whole)
    nonces = os.urandom(NONCE * len(texts))
    found = [
        None
        if text is None
        else salt + (nonce := nonces[row * NONCE : (row + 1) * NONCE]) + encrypt(nonce, text, about)
        for row, text in enumerate(texts)
    ]
    return written(found, whole.type, SEALED, key.version)


def shredded(column: Chunk, subjects: Chunk, keys: Mapping[str, SubjectKey], context: str) -> pa.Array:
    """Seal each value of a column under its subject's own key; raise KeyUnavailable for a subject that has none."""
    whole, owners = plain(column), subjects.to_pylist()
    texts = as_bytes(whole)
    nonces = os.urandom(NONCE * len(texts))
    ciphers = {subject: own(keys, subject, context) for subject in set(owners)}
    found: list[bytes | None] = []
    for start, (text, subject) in zip(range(0, len(nonces), NONCE), zip(texts, owners, strict=True), strict=True):
        id, encrypt, about = ciphers[subject]
        nonce = nonces[start : start + NONCE]
        found.append(None if text is None else b"".join((id, nonce, encrypt(nonce, text, about))))
    return written(found, whole.type, SHREDDABLE, OWN_VERSION)


def own(keys: Mapping[str, SubjectKey], subject: str, context: str) -> tuple[bytes, Encrypt, bytes]:
    """Give a subject's cipher for one field: the key's name, what encrypts, and what it is bound to."""
    if (key := keys.get(subject)) is None:
        raise KeyUnavailable(f"{context}: a subject has no key to seal with; see rivermill-subjects")
    return key.id, own_cipher(key.material).encrypt, owned(key, context)


def unsealed(text: T, ring: Keyring, context: str) -> T:
    """Open one sealed value; raise KeyUnavailable if its key is gone, NotAuthentic if it is not of this field."""
    key = ring.version(FIELDS, spelling.version_of(as_text(text), SEALED))
    raw = raw_of(text, SEALED, SALT)
    salt, nonce, rest = raw[:SALT], raw[SALT : SALT + NONCE], raw[SALT + NONCE :]
    return like(text, decrypted(derived(key.material, salt), nonce, rest, bound(key, context)))


def is_sealed(payload: bytes) -> bool:
    """Tell whether bytes of a column of bytes are sealed."""
    return payload.startswith(SEALED_BYTES)


def subject_key_id(text: str) -> bytes:
    """Read which key of its subject sealed a value."""
    return raw_of(text, SHREDDABLE, KEY_ID)[:KEY_ID]


def unshredded(text: str, key: SubjectKey, context: str) -> str:
    """Open one value with its subject's key; raise NotAuthentic if it is not of this subject and field."""
    raw = raw_of(text, SHREDDABLE, KEY_ID)
    if spelling.version_of(text, SHREDDABLE) != OWN_VERSION or raw[:KEY_ID] != key.id:
        raise NotAuthentic("a sealed value was changed, or is of another field, subject or key")
    nonce, rest = raw[KEY_ID : KEY_ID + NONCE], raw[KEY_ID + NONCE :]
    return decrypted(key.material, nonce, rest, owned(key, context)).decode()


def wrapped(key: SubjectKey, ring: Keyring, subject: str) -> str:
    """Seal a subject's key under the platform's, so that it can be kept in a table."""
    newest, nonce = ring.newest(SUBJECTS), os.urandom(NONCE)
    # A key a subject is far from the 2**32 texts that random nonces of 12 bytes allow.
    sealed_key = nonce + own_cipher(newest.material).encrypt(nonce, key.material, bound(newest, wrapping(key, subject)))
    return f"{WRAPPED}{newest.version}.{urlsafe_b64encode(sealed_key).decode()}"


def unwrapped(text: str, id: bytes, ring: Keyring, subject: str) -> SubjectKey:
    """Open a subject's key that was kept in a table."""
    key, raw = ring.version(SUBJECTS, spelling.version_of(text, WRAPPED)), raw_of(text, WRAPPED, 0)
    about = bound(key, wrapping(SubjectKey(id, b""), subject))
    return SubjectKey(id, decrypted(key.material, raw[:NONCE], raw[NONCE:], about))


def new_subject_key() -> SubjectKey:
    """Draw a key for a subject; it is derived from nothing, so nothing brings it back."""
    return SubjectKey(os.urandom(KEY_ID), os.urandom(KEY_BYTES))


def derived(key: bytes, salt: bytes) -> bytes:
    """Derive the key of one salt (XAES-256-GCM, C2SP): a random nonce of AES-GCM alone serves 2**32 texts, this 2**80.

    Each column of each batch has a salt of its own, and each value a nonce.
    """
    encrypt = block(key)
    mask = doubled(encrypt(bytes(16)))
    return b"".join(encrypt(xor(bytes((0, number, ord("X"), 0)) + salt, mask)) for number in (1, 2))


def salted(key: DataKey, salt: bytes) -> Encrypt:
    """Make the cipher of one salt."""
    return AESGCM(derived(key.material, salt)).encrypt


@lru_cache(100_000)
def own_cipher(key: bytes) -> AESGCM:
    """Make the cipher of a key that is used again: to expand it costs as much as to seal a short text."""
    return AESGCM(key)


def decrypted(key: bytes, nonce: bytes, sealed_text: bytes, about: bytes) -> bytes:
    """Open what AES-GCM sealed; raise NotAuthentic unless key and context are its own."""
    try:
        return AESGCM(key).decrypt(nonce, sealed_text, about)
    except InvalidTag as error:
        raise NotAuthentic("a sealed value was changed, or is of another field, subject or key") from error


def bound(key: DataKey, context: str) -> bytes:
    """Say what a value is sealed for: its key and its field."""
    return f"rivermill {key.purpose} {key.version} {context}".encode()


def owned(key: SubjectKey, context: str) -> bytes:
    """Say the same of a subject's own key."""
    return b"rivermill subject " + key.id + context.encode()


def wrapping(key: SubjectKey, subject: str) -> str:
    """Say which subject's key it is."""
    return f"subject key {key.id.hex()} of {subject}"


def as_bytes(column: Chunk) -> list[bytes | None]:
    """Give a column's values as bytes."""
    return plain(column).view(pa.binary()).to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped


def written(values: list[bytes | None], kind: pa.DataType, letter: str, version: int) -> pa.Array:
    """Spell sealed values as text, and mark them where the column holds bytes."""
    text = changed(pa.array(values, pa.binary()), lambda some: spelling.spelled(some, letter, version))
    if kind == pa.binary():
        return pa.array([None if each is None else BINARY + each for each in text.to_pylist()], kind)
    return text.view(kind)


def as_text(value: str | bytes) -> str:
    """Give the text of a sealed value, of either kind."""
    return value if isinstance(value, str) else value.removeprefix(BINARY).decode("ascii", "replace")


def raw_of(value: str | bytes, letter: str, head: int) -> bytes:
    """Read the bytes of a sealed value; raise NotAuthentic if a head, a nonce and a tag are not all there."""
    raw = spelling.raw(as_text(value), letter)
    if len(raw) < head + NONCE + TAG:
        raise NotAuthentic("a sealed value was cut off")
    return raw


def like(value: T, plain: bytes) -> T:
    """Give what was opened in the kind of what was sealed."""
    return plain.decode() if isinstance(value, str) else plain
