"""Check a certificate of erasure without us: a file, a public key, and nothing of the platform.

This is a program of its own on purpose: it needs the standard library and `cryptography`, so that whoever was erased,
or their counsel, can read it whole and run it where they like.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

ALGORITHM = "ECDSA_SHA_256"


class NotGenuine(ValueError):
    """A certificate that nobody may rely on; says why."""


def verify(certificate: Path, public_key: Path) -> dict[str, Any]:
    """Return what a genuine certificate says; raise NotGenuine for any other."""
    return checked(read(certificate), key_of(public_key))


def read(certificate: Path) -> dict[str, Any]:
    """Read a certificate's file."""
    try:
        held = json.loads(certificate.read_bytes(), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as fault:
        raise NotGenuine(f"{certificate} is no certificate: {fault}") from fault
    if not isinstance(held, dict) or held.keys() != {"certificate", "signature"}:
        raise NotGenuine(f"{certificate} is no certificate: it has other parts than certificate and signature")
    return held


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read an object of JSON in which no name comes twice: a reader may take the first, and a program the last."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice in it")
    return found


def key_of(public_key: Path) -> EllipticCurvePublicKey:
    """Read a public key in PEM."""
    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as fault:
        raise NotGenuine(f"{public_key} is no public key in PEM: {fault}") from fault
    if not isinstance(key, EllipticCurvePublicKey):
        raise NotGenuine(f"{public_key} is not a key of an elliptic curve, as certificates are signed with")
    return key


def checked(held: dict[str, Any], key: EllipticCurvePublicKey) -> dict[str, Any]:
    """Hold the signature against what was signed, then what was signed against what it promises."""
    said, signature = held["certificate"], held["signature"]
    try:
        if signature["algorithm"] != ALGORITHM:
            raise NotGenuine(f"it is signed with {signature['algorithm']!r}; only {ALGORITHM} is known here")
        value = base64.b64decode(signature["value"], validate=True)
        if base64.b64encode(value).decode() != signature["value"]:
            raise NotGenuine("the signature is not spelled as it was: it was changed")
        key.verify(value, signed_part(said), ECDSA(hashes.SHA256()))
    except (InvalidSignature, KeyError, TypeError, ValueError) as fault:
        if isinstance(fault, NotGenuine):
            raise
        raise NotGenuine("the signature is not of this text and key: it was changed, or is another's") from None
    if not is_as_signed(signature, said):
        raise NotGenuine("beside the signature stands what was not signed: it was changed")
    found = said["searched"]["bucket"]["found"]
    if said["certificate"] != "erasure" or found:
        raise NotGenuine(f"it is genuine and certifies no erasure: {found} objects still held somebody")
    return dict(said)


def is_as_signed(signature: dict[str, Any], said: dict[str, Any]) -> bool:
    """Tell whether what stands beside the signature was signed too; before version 3 the name of the key was not."""
    beside = signature.keys() - {"algorithm", "value"}
    if "signed_with" in said:
        return beside == {"key"} and signature["key"] == said["signed_with"]
    return beside <= {"key"}


def chain(folder: Path, public_key: Path) -> list[dict[str, Any]]:
    """Return what the certificates of a folder say, by number; raise NotGenuine if one was changed or is missing.

    Each has the digest of the one before it.  Whether there is a newer one than the last, a folder cannot tell.
    """
    key, found = key_of(public_key), {}
    for path in sorted(folder.glob("*.json")):
        try:
            said = checked(read(path), key)
        except NotGenuine as fault:
            raise NotGenuine(f"{path}: {fault}") from None
        if said.get("number") in found:
            raise NotGenuine(f"{path}: there are two certificates with the number {said['number']}")
        found[said.get("number")] = said
    linked = sorted((number, said) for number, said in found.items() if number is not None)
    before = None
    for place, (number, said) in enumerate(linked, 1):
        if number != place:
            raise NotGenuine(f"certificate {place} of {linked[-1][0]} is missing in {folder}")
        if said["previous"] != before:
            raise NotGenuine(f"certificate {number} does not follow the one before it in {folder}: one was replaced")
        before = hashlib.sha256(signed_part(said)).hexdigest()
    if not linked:
        raise NotGenuine(f"there is no certificate in {folder}")
    return [said for _, said in linked]


def signed_part(said: Any) -> bytes:
    """Write what was signed as the bytes that were: JSON, keys in order, no spaces, UTF-8."""
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def lines(said: dict[str, Any]) -> list[str]:
    """Tell what a genuine certificate says."""
    scan = said["searched"]["bucket"]
    rows = sum(said["rows_held"].values())
    held = f"{rows:,} rows in {len(said['rows_held'])} tables were held" if said["was_held"] else "nothing was held"
    must = [model["model"] for model in said["models"] if model["retrain_by"]]
    return [
        f"genuine: subject {said['subject'][:16]}… was erased at {said['erased_at']}, due by {said['due_at']}",
        f"  {held}; {sum(said['items_deleted'].values())} items of key-value stores were deleted",
        f"  every byte of {scan['versions']:,} objects ({scan['bytes']:,} bytes) was read: found {scan['found']}",
        *common(said.get("too_common", 0), said.get("categories", 0)),
        *(f"  {model} learned from what is gone; it is trained anew by then" for model in must),
        *(f"  until {each['until']}: {each['store']}, since {each['why']}" for each in said["still_held_until"]),
    ]


def common(spellings: int, categories: int) -> list[str]:
    """Tell of spellings that no reading of bytes can tell from others' words, and of those that others' rows have."""
    if not spellings:
        return []
    also = f" ({categories} of these since others' rows name a product or the like so)" if categories else ""
    where = "was looked for in columns that name people alone"
    return [f"  {spellings} of their names, too short or too common a word{also}, {where}"]


def told(place: Path, public_key: Path) -> list[str]:
    """Check one certificate, or a folder of them as a chain, and tell what it says."""
    if not place.is_dir():
        return lines(verify(place, public_key))
    found = chain(place, public_key)
    people = ", ".join(f"{said['number']}: {said['subject'][:16]}…" for said in found)
    return [f"genuine: {len(found)} certificates, each of which names the one before it", f"  {people}"]


def main() -> int:
    """Check one certificate, or a folder of them; the exit code is 2 if it is not genuine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--public-key", type=Path, required=True)
    asked = parser.parse_args()
    try:
        print("\n".join(told(asked.certificate, asked.public_key)))
    except NotGenuine as fault:
        print(f"not genuine: {fault}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
