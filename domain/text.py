"""What text the platform can write down."""

from __future__ import annotations


def is_text(value: str) -> bool:
    r"""Tell whether all of a text can be written as UTF-8; JSON may name half of a character.

    >>> is_text("\U0001f600"), is_text("\ud83d")
    (True, False)
    """
    return value.isascii() or value.encode(errors="ignore").decode() == value
