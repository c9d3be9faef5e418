"""What a unit of an experiment is called where decisions rest: a keyed digest, which takes no cipher and no numpy."""

from __future__ import annotations

import hmac

from domain.privacy.domains import USER, one
from domain.privacy.keyring import UNITS, Keyring

VERSION = 1
"""Of the key: a digest is never turned back, so what is kept under it could not be renewed; the first key stays."""


def called(unit: str, ring: Keyring) -> str:
    """Name a unit without naming it: HMAC-SHA-256 (RFC 2104) of the form that its tokens are made of.

    >>> from domain.privacy.keyring import DataKey
    >>> called(" u-1", Keyring.of([DataKey("units", 1, b"k" * 32)]))
    'u1.79c14fe793b146333c82131b9fc6890879201c35100227bbe32c9020b38699f5'
    """
    key = ring.version(UNITS, VERSION)
    return f"u{key.version}.{hmac.digest(key.material, one(unit, USER).encode(), 'sha256').hex()}"
