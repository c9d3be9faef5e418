"""What a person who asks for what cannot be gets from `make demo`: one line, before anything is started."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from demo import __main__ as demo
from demo.laptop import Laptop

MAPPING = Path(__file__).parents[2] / "clients" / "mappings" / "ecom.toml"


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "laptop_cloud", lambda _: pytest.fail("the laptop cloud was started"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that is said, once it is known to be one, and the code to be 2."""
    code = demo.main(list(arguments))
    line = capsys.readouterr().err.strip()

    assert code == 2
    assert re.fullmatch(r"rivermill: [^\n]+", line)
    return line


@pytest.mark.parametrize("events", ["", "abc", "10", "0", "-5", "1e6", "2.5", "999", "20000001", "9" * 5000])
def test_a_number_of_events_that_makes_no_world_is_refused(capsys: pytest.CaptureFixture[str], events: str) -> None:
    line = said(capsys, f"--events={events}")

    assert line == f"rivermill: EVENTS={events}: give a whole number from 1000 to 20000000"


def test_a_switch_that_is_neither_on_nor_off_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--faults=maybe") == "rivermill: FAULTS=maybe: write on, or leave it out"


@pytest.mark.parametrize(("given", "struck"), [("", False), ("off", False), ("on", True)])
def test_faults_strike_where_they_are_switched_on(given: str, struck: bool) -> None:
    assert demo.switched(given) is struck


def test_the_demo_asks_nobody_but_its_own_cloud_whatever_the_shell_says(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {
        "AWS_PROFILE": "work",
        "AWS_ENDPOINT_URL_S3": "https://s3",
        "no_proxy": "corp.example",
        "HOME": "/home/me",
    }
    monkeypatch.setattr("os.environ", environ)
    laptop = Laptop("http://localhost:7299", Path())

    laptop.enter()

    assert {name: value for name, value in environ.items() if name.startswith("AWS_")} == laptop.environment
    assert laptop.environment["AWS_CONFIG_FILE"] == laptop.environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert environ["no_proxy"] == environ["NO_PROXY"] == "corp.example,localhost,127.0.0.1,::1"


@pytest.mark.parametrize(("given", "lacking"), [("clicks", "MAPPING"), ("mapping", "CLICKS")])
def test_clicks_and_mapping_need_each_other(capsys: pytest.CaptureFixture[str], given: str, lacking: str) -> None:
    line = said(capsys, f"--{given}", "a-file")

    assert f"{given.upper()}=a-file needs {lacking}=<file>" in line


FILES = {
    "clicks.csv": (None, "No such file or directory; give a whole file"),
    "folder.csv": ("folder", "Is a directory; give a whole file"),
    "clicks.parquet": (b"event_time,event\n", "give a whole file of the format of its name"),
    "clicks.csv.gz": (b"event_time,event\n", "Not a gzipped file"),
    "cut.csv.gz": (
        gzip.compress(b"event_time,event\n" + bytes(range(256)) * 200)[:60],
        "Compressed file ended before the end-of-stream marker was reached",
    ),
    "other.csv": (b"a,b\n1,2\n", "the file has no column"),
    "empty.csv": (b"", "the file has no column"),
    "header.csv": (b"\xef\xbb\xbfevent,platform,session_id,timestamp,user_id\n", "none of its 0 rows makes an event"),
    "clicks.xlsx": (b"PK", "unknown ending; say [file] format = one of csv, ndjson, parquet, clf"),
}


@pytest.mark.parametrize(("name", "content", "why"), [(name, *case) for name, case in FILES.items()], ids=FILES)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, content: bytes | str | None, why: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content:
        (tmp_path / name).mkdir()

    assert why in said(capsys, "--clicks", str(tmp_path / name), "--mapping", str(MAPPING))


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file or directory"), (b"x = [\n", "m.toml"), (b"\xff\xfe\x00", "it is no text in UTF-8")],
)
def test_a_mapping_that_cannot_be_read_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, why: str
) -> None:
    if content:
        (tmp_path / "m.toml").write_bytes(content)

    assert why in said(capsys, "--clicks", str(tmp_path / "any.csv"), "--mapping", str(tmp_path / "m.toml"))
