"""What is derived from the load expected carries it, and says how it was found."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ingest.scaling import Policy
from stacks.capacity import (
    FRAME_SHARES,
    INVOCATION_BYTES,
    LONGEST_WINDOW,
    Expected,
    invocation_events,
    plan,
    share,
    table,
    wire_bytes,
)
from stacks.config import CONFIGS
from tests.stacks.synthesized import ROOT

LOADS = st.builds(
    lambda rate, times, size, producers, framed, file_kb: Expected(
        events_per_second=rate,
        peak_events_per_second=rate * times,
        event_bytes=size,
        producers=producers,
        framed=framed,
        file_kb=file_kb,
    ),
    st.integers(1, 200_000),
    st.integers(1, 8),
    st.integers(32, 20_000),
    st.integers(1, 500),
    st.booleans(),
    st.integers(1, 8_192),
)


@given(LOADS)
def test_the_shards_carry_the_load_with_room_to_spare_and_no_more_of_them(expected: Expected) -> None:
    found = plan(expected)
    rate, aim = expected.events_per_second, Policy(floor=1, ceiling=1).aim
    records, size = rate / found.frame_events, rate * found.wire_bytes

    assert records <= found.shards * 1_000 * aim
    assert size <= found.shards * 1_000_000 * aim
    fewer = found.shards - 1
    assert fewer == 0 or records > fewer * 1_000 * aim or size > fewer * 1_000_000 * aim
    assert 1 <= found.floor <= found.shards <= found.ceiling


@given(LOADS)
def test_a_window_fills_its_files_or_the_invocation_and_lasts_no_longer(expected: Expected) -> None:
    found = plan(expected)
    rate = expected.events_per_second / found.shards

    assert 1 <= found.window_seconds <= LONGEST_WINDOW
    assert found.batch_events <= found.invocation_events
    full = found.file_kb >= expected.file_kb * 0.99 or found.batch_events == found.invocation_events
    assert full or found.window_seconds == LONGEST_WINDOW
    shorter = (found.window_seconds - 1) * rate
    assert found.window_seconds == 1 or shorter < found.invocation_events


@given(LOADS)
def test_an_invocation_holds_in_its_payload(expected: Expected) -> None:
    found = plan(expected)
    records = found.invocation_events / found.frame_events

    record = found.wire_bytes * found.frame_events * 4 / 3 + 572
    assert records == 1 or records * record <= INVOCATION_BYTES


def test_the_figures_measured_come_out_again() -> None:
    """Findings on ingestion: 3,279 plain records an invocation, about 38,500 events in frames of 500."""
    framed = Expected(events_per_second=10_000, peak_events_per_second=10_000, event_bytes=1_010)

    assert invocation_events(1, 1_010) == 3_279
    assert invocation_events(500, wire_bytes(framed, 500)) == pytest.approx(38_500, rel=0.02)
    assert [share(events) for events, _ in FRAME_SHARES] == pytest.approx([left for _, left in FRAME_SHARES])


def test_what_is_given_binds() -> None:
    expected = Expected(events_per_second=10_000, peak_events_per_second=20_000)
    found = plan(expected, shards=40, window_seconds=7, frame_kb=64)

    assert (found.shards, found.floor, found.ceiling) == (40, 10, 40)
    assert (found.window_seconds, found.frame_kb, found.frame_events) == (7, 64, 65)


def test_more_load_never_asks_for_fewer_shards() -> None:
    rates = [10, 100, 1_000, 10_000, 100_000]
    found = [plan(Expected(events_per_second=rate, peak_events_per_second=rate, framed=False)).shards for rate in rates]

    assert found == sorted(found)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_stage_can_show_its_arithmetic(name: str) -> None:
    config = CONFIGS[name]
    lines = table(config.expected, config.plan).splitlines()

    assert len(lines) == 7
    assert f"{config.plan.shards}:" in lines[2]


def test_the_command_shows_a_plan_and_refuses_what_is_none() -> None:
    command = [sys.executable, "-m", "stacks.capacity", "--rate", "10000", "--bytes", "1000"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    refused = subprocess.run([*command, "--producers", "0"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert re.search(r"^shards +3: .*1\.20 MB/s over 1, each at 60%$", shown, re.MULTILINE)
    assert (refused.returncode, "producers is 0; allowed: 1 or more" in refused.stderr) == (2, True)


def test_the_page_shows_the_plan_of_today() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    expected = Expected(events_per_second=10_000, peak_events_per_second=20_000, producers=20)

    assert table(expected, plan(expected)) in page


def test_a_window_of_nought_is_allowed() -> None:
    assert replace(CONFIGS["dev"], batch_window_seconds=0).plan.window_seconds == 0
