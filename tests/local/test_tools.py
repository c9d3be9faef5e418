"""What a machine without Node or Java is told where they cannot be fetched either."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import tools


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with neither, whose index of packages does not answer."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    for name, value in {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "0", "EXTRA_INDEX_URL": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setattr(tools, "NODE", "no-such-package-of-node==1")
    monkeypatch.setattr(tools, "JAVA", "no-such-package-of-java==1")


def said() -> str:
    with pytest.raises(SystemExit) as ended:
        tools.main()
    line = str(ended.value.code)
    assert "\n" not in line
    return line


@pytest.mark.slow
def test_a_node_that_cannot_be_had_is_one_line() -> None:
    line = said()

    assert line.startswith("local: pip cannot install no-such-package-of-node==1 (ERROR: No matching distribution")
    assert line.endswith("): install Node 22 or newer yourself")


@pytest.mark.slow
def test_a_java_whose_fetcher_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "install_node", lambda: None)

    assert said().endswith("): install a JDK 17 yourself")


@pytest.mark.slow
def test_a_java_that_cannot_be_downloaded_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jdk.py").write_text("def install(version, path):\n    raise OSError('no route\\n to host')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(tools, "install_node", lambda: None)
    monkeypatch.setattr(tools, "JAVA", "pip")  # there already

    assert said() == "local: cannot download a JDK 17 (no route to host): install a JDK 17 yourself"
