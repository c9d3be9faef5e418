"""What an erasure promises and shows: who is meant, until when something may still hold them, and the certificate."""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from domain.tables import TABLES

DENIED_HEX = 32
"""Digits of a digest on the deny-list: 128 bits, so that no two of a billion people share one."""

KEY, DENIED = "(key)", "(denied)"
"""What the table of erasures keeps the key of digests and the deny-list under, in the place of a subject."""

CONTEXT = {"purpose": "erasure", "about": "digests"}
"""What the key of digests is bound to."""

VERSION = 3


def digest(key: bytes, value: str) -> str:
    """Name a person without naming them: HMAC-SHA-256 in hexadecimal (RFC 2104); a hash without a key is guessed.

    >>> digest(b"k" * 32, "u-1")[:16]
    '79c14fe793b14633'
    """
    return hmac.digest(key, value.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Denied:
    """Who may not come in again; knows people by keyed digests only."""

    key: bytes
    digests: Collection[str] = frozenset()

    def __bool__(self) -> bool:
        """Say whether there is anybody."""
        return bool(self.digests)

    def holds(self, value: str | None) -> bool:
        """Say whether a person is on it."""
        return value is not None and digest(self.key, value)[:DENIED_HEX] in self.digests


@dataclass(frozen=True, slots=True)
class Horizon:
    """A store in which nothing can be deleted, and the moment by which it has forgotten by itself."""

    store: str
    until: datetime
    why: str

    def said(self) -> dict[str, str]:
        """Say it in JSON."""
        return {"store": self.store, "until": self.until.isoformat(), "why": self.why}


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long the stores of a stage keep what cannot be deleted."""

    stream_hours: int
    recovery_days: int
    log_days: int

    def horizons(self, denied_at: datetime) -> list[Horizon]:
        """Say when each has forgotten a person who was denied at a moment; the last of them ends the erasure."""
        return [
            Horizon(
                "stream rivermill-events",
                denied_at + timedelta(hours=self.stream_hours),
                "a record in a stream cannot be deleted; whoever reads it again meets the deny-list",
            ),
            Horizon(
                "point-in-time backups of key-value tables",
                denied_at + timedelta(days=self.recovery_days),
                "a table can be restored as it was; what is restored must be erased anew",
            ),
            Horizon(
                "logs of functions and jobs",
                denied_at + timedelta(days=self.log_days),
                "no identifier is logged by us; what a library says in an error goes by itself",
            ),
        ]


def signed_part(certificate: Mapping[str, Any]) -> bytes:
    """Write a certificate as the bytes that are signed: JSON, keys in order, no spaces, UTF-8.

    >>> signed_part({"b": 1, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    """
    return json.dumps(certificate, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def policy_digest() -> str:
    """Digest what is declared of privacy: each table's subject, and each column's class and treatment."""
    declared = {
        table.full_name: {
            "subject": table.subject,
            "columns": {c.name: [str(c.field.privacy), str(c.field.treatment)] for c in table.columns},
        }
        for table in TABLES
    }
    return sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()


def code_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """Digest the code that did it, file by file, by name."""
    told = sha256()
    for name, body in sorted(files):
        told.update(f"{name}\0{sha256(body).hexdigest()}\n".encode())
    return told.hexdigest()
