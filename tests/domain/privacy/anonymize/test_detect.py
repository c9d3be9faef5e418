"""Identifiers are found by their form and their checksum, and nothing else is taken for one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from domain.privacy.anonymize.detect import DETECTORS, identifiers

FOUND = {
    "e-mail address": ["ann.lee+x@mail.example.org", "write to <bob@example.co.uk>, please"],
    "telephone number": ["+49 30 1234567", "call +1-202-555-0143 now", "+442079460958"],
    "card number": ["4111 1111 1111 1111", "paid with 5500-0000-0000-0004", "378282246310005"],
    "IBAN": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "social security number": ["123-45-6789"],
    "IP address": ["from 192.168.1.20:8080", "10.0.0.1"],
}
OTHERS = [
    "red shoes size 42",
    "4111 1111 1111 1112",  # the check digit is wrong
    "DE88 3704 0044 0532 0130 00",
    "000-12-3456",
    "666-12-3456",
    "123-00-6789",
    "300.1.2.3",
    "2026-11-22",
    "version 1.2.3",
    "order 1234567890",
    "a@b",
    "",
]


def test_each_detector_is_tried() -> None:
    assert {detector.name for detector in DETECTORS} == FOUND.keys()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FOUND.items() for text in texts])
def test_an_identifier_is_found(name: str, text: str) -> None:
    assert name in identifiers(pa.array([text, None]))


@pytest.mark.parametrize("text", OTHERS)
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert identifiers(pa.array([text])) == {}


def test_a_few_slips_do_not_make_a_column_an_identifier() -> None:
    texts = ["shoes"] * 199 + ["ann@example.org"]

    assert identifiers(pa.array(texts)) == {}
    assert identifiers(pa.array([*texts[:98], "ann@example.org"])) == {"e-mail address": pytest.approx(1 / 99)}


def test_an_empty_column_holds_nothing() -> None:
    assert identifiers(pa.array([], pa.string())) == identifiers(pa.array([None], pa.string())) == {}


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112, card 4111111111111111",
        "000-12-3456 or 123-45-6789",
        "DE88370400440532013000 DE89370400440532013000",
    ],
)
def test_an_identifier_is_found_behind_what_only_looks_like_one(text: str) -> None:
    assert len(identifiers(pa.array([text]))) == 1
