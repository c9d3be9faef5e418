"""What make says on a machine that lacks something: one line with what to do, and a code that is not 0."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLD = """#!{python}
import sys
sys.version_info, sys.version = (3, 9, 18, "final", 0), "3.9.18 (main)"
exec(sys.argv[2])
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder in which nothing is installed yet."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    for name in ("Makefile", "requirements.txt", "package-lock.json"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shutil.which("make") or "make", "-s", *arguments],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("verb", ["demo", "local", "synth", "deploy", "check", "test"])
def test_a_python_that_is_too_old_is_named_before_anything_is_installed(clone: Path, verb: str) -> None:
    old = clone / "python3.9"
    old.write_text(OLD.format(python=sys.executable))
    old.chmod(0o755)

    done = make(clone, verb, f"PYTHON={old}")

    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert said == ["Rivermill needs Python 3.11 or newer, this is 3.9.18: make PYTHON=python3.12 ..."]
    assert done.returncode != 0
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("verb", ["demo", "local", "synth", "deploy"])
def test_a_node_that_is_gone_is_one_line_that_says_how_to_get_one(clone: Path, verb: str) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / "ready").touch()
    tools = clone / "bin"
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which("sh") or "/bin/sh")

    done = make(clone, verb, path=str(tools))

    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert done.returncode != 0
    assert [line.partition(":")[2] for line in said] == [
        " there is no node on the PATH: run .venv/bin/python -m local.tools, which puts one into .venv"
    ]


def test_every_verb_that_readers_are_told_of_exists(clone: Path) -> None:
    for verb in ("demo", "local", "synth", "deploy", "check", "test"):
        assert f"\n{verb}: " in (clone / "Makefile").read_text()


@pytest.mark.parametrize("verb", ["check", "test"])
@pytest.mark.parametrize("failing", ["", "ruff", "mypy", "pytest", "mypy pytest"])
def test_whatever_a_check_finds_is_told_and_fails_it(clone: Path, verb: str, failing: str) -> None:
    tools = clone / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("ruff", "mypy", "pytest"):
        (tools / name).write_text(f"#!/bin/sh\necho {name} was asked\nexit {3 if name in failing.split() else 0}\n")
        (tools / name).chmod(0o755)
    (clone / "requirements-test.txt").touch()
    for stamp in ("ready", "ready-test"):
        (clone / ".venv" / stamp).touch()

    done = make(clone, verb)

    assert (done.returncode == 0) is (failing == "")
    assert ("mypy was asked" in done.stdout and "pytest was asked" in done.stdout) is (failing != "ruff")
