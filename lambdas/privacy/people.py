"""Who an erasure is about: known by a keyed digest, sealed while there is work to do, and nowhere in clear."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.privacy.domains import USER, one
from domain.privacy.erasures import CONTEXT, digest
from domain.privacy.words import is_telling
from lambdas.privacy.erasures import Erasures

MOST_SEALED = 4_096
"""Bytes that KMS seals at once."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be erased: how they are known to an erasure, and every way in which a store may spell them."""

    digest: str
    spellings: tuple[str, ...]
    categories: frozenset[str] = frozenset()
    """Spellings that stand in others' rows as what is no person."""

    @property
    def telling(self) -> list[str]:
        """List the spellings that are this person wherever they stand among bytes."""
        return [each for each in self.spellings if is_telling(each) and each not in self.categories]

    @property
    def common(self) -> list[str]:
        """List the others, which are this person in columns of people alone."""
        return [each for each in self.spellings if each not in self.telling]


@dataclass(frozen=True, slots=True)
class People:
    """Digests, seals and opens; `kms` is boto3's client and `key` the ARN of the key that wraps and seals."""

    kms: Any
    key: str
    erasures: Erasures

    def digests_key(self) -> bytes:
        """Find the key of digests, or make it when the first person asks."""
        wrapped = self.erasures.wrapped_key()
        if wrapped is None:
            made = self.kms.generate_data_key(KeyId=self.key, KeySpec="AES_256", EncryptionContext=CONTEXT)
            self.erasures.keep_key(made["CiphertextBlob"])
            wrapped = self.erasures.wrapped_key()
        opened = self.kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=CONTEXT)
        return bytes(opened["Plaintext"])

    def seal(self, person: Person) -> bytes:
        """Seal how a person is spelled, for the request with their digest alone."""
        about = context(person.digest)
        sealed = self.kms.encrypt(KeyId=self.key, Plaintext=plain(person), EncryptionContext=about)
        return bytes(sealed["CiphertextBlob"])

    def open(self, job: str) -> list[Person]:
        """Open who a job is about; those who are done are nobody any more."""
        found = ((who, self.erasures.sealed(who)) for who in self.erasures.members(job))
        return [Person(who, self._spellings(who, sealed)) for who, sealed in found if sealed is not None]

    def _spellings(self, who: str, sealed: bytes) -> tuple[str, ...]:
        opened = self.kms.decrypt(CiphertextBlob=sealed, EncryptionContext=context(who))
        return tuple(json.loads(opened["Plaintext"]))


def plain(person: Person) -> bytes:
    """Write how a person is spelled, as it is sealed."""
    return json.dumps(person.spellings, ensure_ascii=False).encode()


def context(about: str) -> dict[str, str]:
    """Bind what is sealed to its purpose and its place: it opens nowhere else."""
    return {"purpose": "erasure", "about": about}


def named(key: bytes, raw: str, tokens: Sequence[str] = ()) -> Person:
    """Name a person by the value that was asked for, by the one form of it that a consumer knows, and by its tokens."""
    usual = one(raw, USER)
    return Person(digest(key, usual), tuple(dict.fromkeys((raw, usual, *tokens))))
