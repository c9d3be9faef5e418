"""Bars say what is wanted, what was measured, and whether that will do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bars
from benchmarks.bars import STRICT, Bar, gathered, report, run

FAST = Bar("plain", 3.4, 3.2)
SLOW = Bar("plain, 10,000", 2.0, 4.5)
LIGHT = Bar("memory", 200.0, 256.0, at_least=False, unit="MB")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bars, "REPORT", tmp_path)
    return tmp_path


def test_a_bar_is_held_from_the_side_that_it_wants() -> None:
    assert [bar.held for bar in (FAST, SLOW, LIGHT)] == [True, False, True]
    assert not Bar("memory", 300.0, 256.0, at_least=False).held


def test_a_miss_is_shown_and_fails_only_if_that_counts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("consume", [FAST, SLOW], {}, []) == 0
    assert report("consume", [FAST, SLOW], {}, [STRICT]) == 1
    assert report("consume", [FAST, LIGHT], {}, [STRICT]) == 0
    assert "| plain, 10,000 | 2 x | ≥ 4.5 x | MISS |" in capsys.readouterr().out
    assert (folder / "consume.png").read_bytes().startswith(b"\x89PNG")


def test_bars_are_read_as_they_were_kept(folder: Path) -> None:
    report("consume", [FAST, LIGHT], {"ways": {}}, [])
    (folder / "produce.json").write_text(json.dumps({"bars": {"bytes": 0.15}}))

    assert gathered(["consume", "produce", "missing"]) == [FAST, LIGHT]


def test_the_parts_that_are_named_run_and_a_word_that_is_none_is_refused(folder: Path) -> None:
    parts = {"fast": lambda: [FAST], "slow": lambda: [SLOW]}

    assert run("any", parts, ["--only", "fast", STRICT]) == 0
    assert gathered(["any-fast"]) == [FAST]
    assert run("any", parts, [STRICT]) == 1
    for words in (["--only", "quick"], ["--onyl", "fast"], ["fast"]):
        with pytest.raises(SystemExit) as refused:
            run("any", parts, words)
        assert refused.value.code == 2
