"""What is sent again goes under a key that the stream takes, its user's if that is one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.ingest.limits import LARGEST_RECORD
from domain.ingest.redrive import FAILED_BATCH, LONGEST_KEY, Aside
from tests.domain.contract.strategies import NOW

SEQUENCE = "7".zfill(56)


def any_aside(payload: bytes) -> Aside:
    return Aside("shard-0", SEQUENCE, payload, FAILED_BATCH, NOW)


@pytest.mark.parametrize("user", ["u-1", "ü" * LONGEST_KEY, "\U0001f600"])
def test_an_event_goes_under_its_user(user: str) -> None:
    assert any_aside(json.dumps({"user_id": user}).encode()).partition_key == user


@pytest.mark.parametrize("user", ["", "u" * (LONGEST_KEY + 1), "half \ud800", "\udc00", 7, None, ["u-1"]])
def test_what_is_no_key_is_replaced_by_the_position(user: Any) -> None:
    assert any_aside(json.dumps({"user_id": user}).encode()).partition_key == SEQUENCE


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"[]", b"7", b"[" * 100_000, b"{"],
    ids=["blank", "bytes", "list", "number", "deep", "cut"],
)
def test_what_cannot_be_read_goes_under_its_position(payload: bytes) -> None:
    assert any_aside(payload).partition_key == SEQUENCE


@pytest.mark.parametrize("user", ["u-1", None])
def test_a_record_that_filled_its_limit_with_a_shorter_key_fits_again(user: str | None) -> None:
    payload = json.dumps({"user_id": user}).encode().ljust(LARGEST_RECORD - 1)

    assert len(payload) + len(any_aside(payload).partition_key.encode()) == LARGEST_RECORD
