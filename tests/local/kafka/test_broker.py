"""A broker starts wherever its folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.kafka import broker

pytestmark = pytest.mark.slow


def test_a_broker_starts_in_a_folder_with_a_space_and_an_umlaut_in_a_shell_without_a_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C")
    monkeypatch.delenv("LC_ALL", raising=False)
    started = broker.start(tmp_path / "a b ü")
    try:
        assert (tmp_path / "a b ü" / "data" / "__cluster_metadata-0").is_dir()
    finally:
        started.stop()
