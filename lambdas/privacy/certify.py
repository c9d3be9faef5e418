"""Write what was found and removed of a person into a certificate, and sign it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from domain.privacy.erasures import VERSION, Retention, code_digest, policy_digest, signed_part
from lambdas.privacy import held, sweep

ROOT = Path(__file__).parents[2]
ALGORITHM = "ECDSA_SHA_256"


def certificate(
    digest: str,
    standing: Mapping[str, str],
    notes: Mapping[str, Any],
    retention: Retention,
    now: datetime,
    *,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Say what was searched, found and removed; nothing in it says who the person is.

    `facts` tell its number, the digest of the one before it, the key that signs it, and how many spellings of the
    person were too common to be looked for among bytes, and how many of these are so since others' rows have them.
    """
    found = {name.removeprefix("held/"): rows for name, rows in notes.items() if name.startswith("held/")}
    mine = held.total(found, digest)
    at = datetime.fromisoformat(standing["at"])
    return {
        "certificate": "erasure",
        "version": VERSION,
        **facts,
        "subject": digest,
        "job": standing["job"],
        "requested_at": standing["at"],
        "due_at": standing["due"],
        "erased_at": now.isoformat(),
        "was_held": bool(mine or of(notes, "stores", digest)),
        "rows_held": mine,
        "items_deleted": of(notes, "stores", digest),
        "rewritten_by_job": tables(notes),
        "searched": {"tables": sorted(found), "bucket": scan(notes)},
        "removed_objects": removed(notes),
        "models": notes.get("models", []),
        "still_held_until": [horizon.said() for horizon in retention.horizons(at)],
        "policy_digest": policy_digest(),
        "code_digest": code(),
    }


def chained(said: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the next certificate has to say of this one."""
    return {"number": said["number"] + 1, "previous": sha256(signed_part(said)).hexdigest()}


def of(notes: Mapping[str, Any], what: str, digest: str) -> dict[str, int]:
    """Pick what stores held of one person."""
    return {store: counts[digest] for store, counts in notes.get(what, {}).items() if counts.get(digest)}


def tables(notes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List each rewrite of a table by the whole job."""
    return [notes[name] for name in sorted(notes) if name.startswith("erased/")]


def scan(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Say what the last sweep read; it found nobody."""
    rounds = sorted({name.split("/")[1] for name in notes if name.startswith("swept/")})
    last = sweep.total([said for name, said in notes.items() if name.startswith(f"swept/{rounds[-1]}/")])
    found = sum(len(last[fate]) for fate in (sweep.REMOVED, sweep.LIVE, sweep.BLOCKED))
    return {"versions": last["versions"], "bytes": last["bytes"], "found": found, "begun_at": rounds[-1]}


def removed(notes: Mapping[str, Any]) -> dict[str, int]:
    """Count the objects that sweeps removed, by the first part of their keys."""
    swept = [said for name, said in notes.items() if name.startswith("swept/")]
    counted: dict[str, int] = {}
    for key in sweep.total(swept)[sweep.REMOVED]:
        place = key.partition("/")[0]
        counted[place] = counted.get(place, 0) + 1
    return counted


@cache
def code() -> str:
    """Digest the code that erases."""
    return code_digest(sources())


def sources() -> Iterator[tuple[str, bytes]]:
    """Read the code that erases."""
    for folder in ("domain", "lambdas"):
        for path in (ROOT / folder).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), path.read_bytes()


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with a key that never leaves KMS; `kms` is boto3's client."""

    kms: Any
    key: str

    def signed(self, said: Mapping[str, Any]) -> bytes:
        """Put a signature beside a certificate."""
        answer = self.kms.sign(KeyId=self.key, Message=signed_part(said), MessageType="RAW", SigningAlgorithm=ALGORITHM)
        signature = {
            "algorithm": ALGORITHM,
            "key": self.key,
            "value": base64.b64encode(answer["Signature"]).decode(),
        }
        return json.dumps({"certificate": said, "signature": signature}, indent=1, ensure_ascii=False).encode()
