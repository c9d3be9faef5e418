"""Keys that protect fields, as a warm process has them: data keys, and subjects' own, which these wrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.privacy import sealing
from domain.privacy.keyring import PROTECTING, Keyring, SubjectKey
from lambdas.datakeys import DataKeys, HeldKeys, all_or_none, now

OWN = "key"
ITEMS = 100
"""Items of a BatchGetItem, and actions of a TransactWriteItems, at most."""

READERS = 8
MOST_SUBJECTS = 200_000
"""Subjects' keys that a process remembers at once, at about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class SubjectKeys:
    """The table of subjects' own keys; subjects are named by their tokens, and their keys wrapped by the ring's."""

    dynamodb: Any
    table: str

    def of(self, subjects: Sequence[str], ring: Keyring) -> dict[str, SubjectKey]:
        """Give each subject's key, and make one for those who have none; whoever is first has made it."""
        once = list(dict.fromkeys(subjects))
        some = [once[start : start + ITEMS] for start in range(0, len(once), ITEMS)]
        with ThreadPoolExecutor(READERS) as readers:
            found = list(readers.map(lambda each: self._some(each, ring), some))
        return {subject: key for each in found for subject, key in each.items()}

    def find(self, subject: str, id: bytes, ring: Keyring) -> SubjectKey | None:
        """Find the key that sealed something of a subject; none once the subject was forgotten."""
        for item in (OWN, f"{OWN}/{id.hex()}"):
            answer = self.dynamodb.get_item(TableName=self.table, Key=_own(subject, item), ConsistentRead=True)
            if (kept := answer.get("Item")) and kept["id"]["B"] == id:
                return sealing.unwrapped(kept["wrapped"]["S"], id, ring, subject)
        return None

    def _some(self, subjects: list[str], ring: Keyring) -> dict[str, SubjectKey]:
        found = self._known(subjects, ring)
        while new := [subject for subject in subjects if subject not in found]:
            made = {subject: sealing.new_subject_key() for subject in new}
            if self._keep(made, ring):
                return found | made
            found |= self._known(new, ring)  # another has made some of them meanwhile
        return found

    def _known(self, subjects: Sequence[str], ring: Keyring) -> dict[str, SubjectKey]:
        wanted = {self.table: {"Keys": [_own(subject, OWN) for subject in subjects], "ConsistentRead": True}}
        found: dict[str, SubjectKey] = {}
        while wanted:
            answer = self.dynamodb.batch_get_item(RequestItems=wanted)
            for item in answer["Responses"].get(self.table, ()):
                subject, id = item["subject"]["S"], bytes(item["id"]["B"])
                found[subject] = sealing.unwrapped(item["wrapped"]["S"], id, ring, subject)
            wanted = answer.get("UnprocessedKeys", {})
        return found

    def _keep(self, made: Mapping[str, SubjectKey], ring: Keyring) -> bool:
        puts = [
            {
                "Put": {
                    "TableName": self.table,
                    "Item": _own(subject, OWN)
                    | {
                        "id": {"B": key.id},
                        "wrapped": {"S": sealing.wrapped(key, ring, subject)},
                        "made": {"S": now()},
                    },
                    "ConditionExpression": "attribute_not_exists(subject)",
                }
            }
            for subject, key in made.items()
        ]
        return all_or_none(self.dynamodb, puts)


@dataclass(slots=True)
class Warm:
    """Keys as a warm process remembers them, subjects' own no longer than the ring that opened them."""

    held: HeldKeys
    subjects: SubjectKeys
    _opened_by: Keyring | None = None
    _own: dict[str, SubjectKey] = field(default_factory=dict)

    def ring(self) -> Keyring:
        """Give the data keys, none older than REFRESH_SECONDS."""
        return self.held.ring()

    def keys_of(self, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        """Give subjects' own keys."""
        ring = self.ring()
        if ring is not self._opened_by or len(self._own) > MOST_SUBJECTS:
            self._own.clear()
            self._opened_by = ring
        if new := [subject for subject in subjects if subject not in self._own]:
            self._own.update(self.subjects.of(new, ring))
        return self._own


class Where(Protocol):
    """The settings of a function that uses keys: two tables, and the KMS key that wraps."""

    @property
    def keys(self) -> str:
        """Name the table of data keys."""

    @property
    def subjects(self) -> str:
        """Name the table of subjects' keys."""

    @property
    def privacy_key(self) -> str:
        """Name the KMS key that wraps."""


def warm(dynamodb: Any, kms: Any, where: Where, *, purposes: Sequence[str] = PROTECTING, makes: bool = False) -> Warm:
    """Open the keys where a function's settings say; nothing is asked yet.  Who protects fields `makes` the first."""
    data = DataKeys(dynamodb, kms, where.keys, where.privacy_key)
    return Warm(HeldKeys(data, purposes, makes), SubjectKeys(dynamodb, where.subjects))


def _own(subject: str, item: str) -> dict[str, Any]:
    return {"subject": {"S": subject}, "item": {"S": item}}
