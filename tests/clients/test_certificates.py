"""A folder of certificates, checked as a chain by whoever holds the public key."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients.privacy import verify

KEY = ec.derive_private_key(17, ec.SECP256R1())


def written(folder: Path, number: int, previous: str | None, subject: str) -> str:
    """Sign a certificate into a folder; return the digest that the next one names."""
    said: dict[str, Any] = {"certificate": "erasure", "number": number, "previous": previous, "subject": subject}
    said |= {"searched": {"bucket": {"found": 0}}, "signed_with": "arn:of:the:key"}
    value = KEY.sign(verify.signed_part(said), ec.ECDSA(hashes.SHA256()))
    signature = {"algorithm": verify.ALGORITHM, "key": said["signed_with"], "value": base64.b64encode(value).decode()}
    (folder / f"{subject}.json").write_text(json.dumps({"certificate": said, "signature": signature}))
    return hashlib.sha256(verify.signed_part(said)).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(KEY.public_key().public_bytes(*form))
    previous = None
    for number, subject in enumerate(("cc", "aa", "bb"), 1):
        previous = written(tmp_path, number, previous, subject)
    return tmp_path


def test_a_whole_chain_is_told_in_its_order(folder: Path) -> None:
    assert [said["subject"] for said in verify.chain(folder, folder / "key.pem")] == ["cc", "aa", "bb"]
    assert verify.told(folder, folder / "key.pem")[0].startswith("genuine: 3 certificates")


@pytest.mark.parametrize(
    ("spellings", "categories", "told"),
    [
        (0, 0, []),
        (
            2,
            0,
            ["  2 of their names, too short or too common a word, was looked for in columns that name people alone"],
        ),
        (1, 1, ["name a product or the like so), was looked for in columns that name people alone"]),
    ],
)
def test_what_was_not_looked_for_everywhere_is_told(spellings: int, categories: int, told: list[str]) -> None:
    found = verify.common(spellings, categories)

    assert len(found) == len(told)
    assert all(line.endswith(end) for line, end in zip(found, told, strict=True))


def test_a_missing_certificate_is_named(folder: Path) -> None:
    (folder / "aa.json").unlink()

    with pytest.raises(verify.NotGenuine, match="certificate 2 of 3 is missing"):
        verify.chain(folder, folder / "key.pem")


def test_one_that_was_signed_anew_with_other_words_is_named(folder: Path) -> None:
    first = json.loads((folder / "aa.json").read_text())["certificate"]["previous"]
    (folder / "aa.json").unlink()
    written(folder, 2, first, "dd")

    with pytest.raises(verify.NotGenuine, match="certificate 3 does not follow the one before it"):
        verify.chain(folder, folder / "key.pem")


def test_a_changed_one_is_named_by_its_file(folder: Path) -> None:
    path = folder / "aa.json"
    path.write_text(path.read_text().replace('"aa"', '"ab"'))

    with pytest.raises(verify.NotGenuine, match=r"aa\.json: the signature is not of this text"):
        verify.chain(folder, folder / "key.pem")


def test_two_of_one_number_and_none_at_all_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    written(folder, 2, None, "dd")

    with pytest.raises(verify.NotGenuine, match="two certificates with the number 2"):
        verify.chain(folder, folder / "key.pem")
    with pytest.raises(verify.NotGenuine, match="there is no certificate"):
        verify.chain(tmp_path_factory.mktemp("empty"), folder / "key.pem")


def genuine(path: Path, key: Path) -> bool:
    try:
        verify.verify(path, key)
    except verify.NotGenuine:
        return False
    return True


def test_a_certificate_with_one_bit_changed_anywhere_is_refused(folder: Path) -> None:
    path, key = folder / "aa.json", folder / "key.pem"
    body = path.read_bytes()

    assert genuine(path, key)
    for place in range(len(body)):
        for bit in (1, 2, 4, 8, 16, 32, 64, 128):
            path.write_bytes(body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :])
            assert not genuine(path, key), (place, bit)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held | {"note": "and all is well"},
        lambda held: held | {"signature": held["signature"] | {"by": "us"}},
        lambda held: held | {"signature": held["signature"] | {"key": "another"}},
        lambda held: held | {"signature": {**held["signature"], "value": held["signature"]["value"] + "\n"}},
        lambda held: held | {"certificate": [held["certificate"]]},
        lambda held: {"certificate": held["certificate"]},
        lambda held: [held],
    ],
)
def test_what_stands_beside_what_was_signed_is_refused(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / "aa.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    assert not genuine(path, folder / "key.pem")


def test_names_in_another_order_are_the_same_certificate(folder: Path) -> None:
    path = folder / "aa.json"

    def turned(some: Any) -> Any:
        return {name: turned(some[name]) for name in reversed(some)} if isinstance(some, dict) else some

    path.write_text(json.dumps(turned(json.loads(path.read_text())), indent=3))
    assert genuine(path, folder / "key.pem")


def test_a_name_that_comes_twice_is_refused(folder: Path) -> None:
    """Whoever reads it sees the first, and a program the last."""
    path = folder / "aa.json"
    path.write_text('{"certificate": {"subject": "somebody else"}, ' + path.read_text()[1:])

    assert not genuine(path, folder / "key.pem")


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b"\xff", b"null", b'{"certificate": 1, "signature": 2}', b'"\\ud800"']
)
def test_what_is_no_certificate_is_said_to_be_none(folder: Path, body: bytes) -> None:
    (folder / "aa.json").write_bytes(body)

    assert not genuine(folder / "aa.json", folder / "key.pem")
