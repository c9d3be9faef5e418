"""The page about the laptop cloud tells of every flag and address that there is, and of none that is not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local import event_sources, faults

PAGE = (Path(__file__).parents[2] / "docs" / "laptop-cloud.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_tells_of_every_flag() -> None:
    usage = subprocess.run([sys.executable, "-m", "local", "--help"], capture_output=True, text=True, check=True).stdout

    assert set(re.findall(r"^\| `(--\w+)`", PAGE, re.MULTILINE)) == set(re.findall(r"--\w+", usage)) - {"--help"}


def test_the_page_tells_of_every_control_address_and_fault() -> None:
    kinds = {fault.__struct_config__.tag for fault in faults.AnyFault.__args__}

    assert set(re.findall(r"/_cloud/[\w-]+", PAGE)) == {faults.PATH, event_sources.STATUS_PATH}
    assert {kind for kind in kinds if f"`{kind}`" in PAGE} == kinds
