"""The page about the producer shows code that runs, and tests and settings that there are."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cost import RATE
from clients.producer import Producer, producer
from clients.producer.journal import ENTRY, HEAD, MARK
from domain.ingest.frames import unpack
from stacks.config import CONFIGS, ON_DEMAND, PROVISIONED
from stacks.fronts import WAYS, cost
from tests.clients import test_producer

PAGE = (Path(__file__).parents[2] / "docs" / "producer.md").read_text(encoding="utf-8")
SEND, FRAME = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
EVENT = {"event": "search", "event_id": "e-1", "user_id": "u-1"}


def test_the_five_lines_send_an_event(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stream = test_producer.Stream()
    monkeypatch.setattr(producer, "default_client", lambda: stream)
    exec(compile(SEND, "docs/producer.md", "exec"), {"event": EVENT})

    assert stream.events() == [EVENT]
    assert "accepted=1" in capsys.readouterr().out


def test_a_frame_made_as_shown_is_a_frame() -> None:
    known: dict[str, Any] = {"events": [EVENT] * 3}
    exec(compile(FRAME, "docs/producer.md", "exec"), known)

    assert [json.loads(line) for line in unpack(known["frame"]).payload.splitlines()] == [EVENT] * 3


def test_its_tests_exist_and_its_settings_are_all_that_there_are() -> None:
    settings = PAGE.partition("## Settings")[2].partition("## What is written")[0]
    named = {name for row in settings.splitlines() for name in re.findall(r"`(\w+)`", row.partition(" | ")[0])}

    assert all(hasattr(test_producer, name) for name in re.findall(r"`(test_\w+)`", PAGE))
    assert set(inspect.signature(Producer).parameters) - {"stream", "seed"} <= named


def test_its_prices_are_those_of_today() -> None:
    for way in WAYS:
        prices = [f"{cost(CONFIGS['prod'], way, RATE, capacity).total:.4f}" for capacity in (PROVISIONED, ON_DEMAND)]
        name = "frames" if way.framed else f"{way.name}, behind its firewall" if way.function else way.name
        assert f"| {name} | {prices[0]} | {prices[1]} |" in PAGE


def test_the_entry_on_disk_is_as_shown() -> None:
    assert MARK.hex(" ").upper() in PAGE
    assert (ENTRY.size, HEAD) == (14, 18)
