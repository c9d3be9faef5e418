"""What is generated from the declarations is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.contract import generate
from domain.contract.compatibility import GOLDEN, golden_path
from domain.contract.docs import events_page
from domain.events import EVENTS


@pytest.mark.parametrize("path", generate.texts(), ids=lambda path: path.name)
def test_a_generated_file_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.texts()[path], "run python -m domain.contract.generate"


def test_every_promise_is_of_a_known_version() -> None:
    known = {golden_path(event).name.partition(".")[0] for event in EVENTS.values()}

    assert {path.name.partition(".")[0] for path in GOLDEN.iterdir()} == known


def test_the_page_names_every_field() -> None:
    page = events_page()

    assert all(f"| `{column.name}` |" in page for event in EVENTS.values() for column in event.columns())


def test_nothing_is_written_over_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "broken", lambda: ["rating.stars is gone"])
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: pytest.fail("it wrote"))

    with pytest.raises(SystemExit, match=r"rating\.stars is gone"):
        generate.main()
