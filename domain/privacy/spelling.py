"""Write bytes as text that says how it was made: a letter, the key's version, and base64url (RFC 4648, section 5)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from binascii import a2b_base64

import numpy as np

from domain.privacy.aes import Bytes
from domain.privacy.siv import items

SPELLED = re.compile(r"([a-z])(\d{1,9})\.([A-Za-z0-9_-]*)")
STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""To base64 as Python reads it; what only that has becomes what neither has."""


class NotSpelled(ValueError):
    """A text that this module did not write."""


def spelled(values: Bytes, letter: str, version: int) -> Bytes:
    """Write rows of bytes as rows of ASCII."""
    count, width = values.shape
    whole = -(-width // 3) * 3
    padded = np.zeros((count, whole), np.uint8)
    items(padded[:, :width])[:] = items(values)
    # Rows of whole groups of three are written as one text, since no group is of two rows.
    text = np.frombuffer(urlsafe_b64encode(padded.data), np.uint8).reshape(count, whole // 3 * 4)
    head = np.frombuffer(f"{letter}{version}.".encode(), np.uint8)
    kept = -(-width * 8 // 6)
    row = np.empty((count, len(head) + kept), np.uint8)
    row[:, : len(head)] = head
    items(row[:, len(head) :])[:] = items(text[:, :kept])
    return row


def read(rows: Bytes, head: int) -> Bytes:
    """Read rows of ASCII as the bytes that they stand for, after a head of so many characters.

    Bytes have one spelling: bits that stand for none of them must be nought, or a changed text would be read as well.
    """
    count, width = len(rows), rows.shape[1] - head
    if not width or width % 4 == 1:
        raise NotSpelled(f"a text of {width} characters is not base64url")
    whole = -(-width // 4) * 4
    padded = np.full((count, whole), ord("A"), np.uint8)
    items(padded[:, :width])[:] = items(rows[:, head:])
    try:
        text = a2b_base64(padded.tobytes().translate(STANDARD), strict_mode=True)
    except ValueError as error:
        raise NotSpelled(f"a text is not base64url: {error}") from error
    found = np.frombuffer(text, np.uint8).reshape(count, whole // 4 * 3)
    if found[:, width * 6 // 8 :].any():
        raise NotSpelled("a text is not base64url as it is written here: its last character says too much")
    return found[:, : width * 6 // 8]


def raw(text: str, letter: str) -> bytes:
    """Read the bytes of one text; raise NotSpelled for what this module would have written in another way.

    >>> raw("s1.AAE", "s")
    b'\\x00\\x01'
    """
    version_of(text, letter)
    row = np.frombuffer(text.encode(), np.uint8)[None]
    return read(row, text.index(".") + 1).tobytes()


def version_of(text: str, letter: str) -> int:
    """Read with which version of its key a text was written; raise NotSpelled if it is another text.

    >>> version_of("t12.AAAA", "t")
    12
    """
    found = SPELLED.fullmatch(text)
    if found is None or found[1] != letter:
        # Not repeated: who takes a name for a token would find it in a log.
        raise NotSpelled(f"a text of {len(text)} characters is none; one begins with {letter!r}, a version and a dot")
    return int(found[2])
