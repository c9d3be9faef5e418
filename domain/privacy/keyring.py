"""The keys that protect fields: one for each purpose and version, of which the newest seals and all open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TOKENS, PRESERVED, FIELDS, SUBJECTS, UNITS = "tokens", "preserved", "fields", "subjects", "units"
SIZES = {TOKENS: 64, PRESERVED: 32, FIELDS: 32, SUBJECTS: 32, UNITS: 32}
"""What keys are for, and their bytes: AES-SIV takes two keys of AES-256."""

PROTECTING = (TOKENS, PRESERVED, FIELDS, SUBJECTS)
"""What fields are protected with; the key of units is for decisions of experiments alone."""

SEALED_BYTES = b"\0s"
"""How sealed bytes begin in a column of bytes: no JSON and no frame begins so."""


class KeyUnavailable(RuntimeError):
    """A key is missing or revoked: what needs it must wait, since nothing may rest in clear."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key of a purpose, in clear; it never leaves the process."""

    purpose: str
    version: int
    material: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A subject's own key, in clear, and what names it in what it sealed."""

    id: bytes
    material: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys at hand, by purpose and version."""

    keys: Mapping[str, Mapping[int, DataKey]]

    @classmethod
    def of(cls, keys: Iterable[DataKey]) -> Keyring:
        """Put keys on a ring."""
        ring: dict[str, dict[int, DataKey]] = {}
        for key in keys:
            ring.setdefault(key.purpose, {})[key.version] = key
        return cls(ring)

    def newest(self, purpose: str) -> DataKey:
        """Give the key that seals now; raise KeyUnavailable if there is none."""
        versions = self.keys.get(purpose)
        if not versions:
            raise KeyUnavailable(f"there is no key for {purpose}; rivermill-keys must hold one that is not revoked")
        return versions[max(versions)]

    def version(self, purpose: str, version: int) -> DataKey:
        """Give the key that sealed something; raise KeyUnavailable if it is gone."""
        try:
            return self.keys[purpose][version]
        except KeyError:
            raise KeyUnavailable(f"version {version} of the key for {purpose} is missing or revoked") from None

    def versions(self, purpose: str) -> tuple[int, ...]:
        """List the versions at hand, the newest first."""
        return tuple(sorted(self.keys.get(purpose, {}), reverse=True))
