"""What a layer carries, and what it leaves out."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pyarrow
import pytest

from stacks.constructs import layer
from stacks.constructs.layer import REQUIREMENTS, LayerFailed, build, keeps, pack

NAMES = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def test_there_are_layers() -> None:
    assert "arrow" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_keeps_what_names_its_packages(name: str) -> None:
    """The laptop cloud reads names and versions there, and so does whoever asks about licences."""
    built = build(REQUIREMENTS / f"{name}.txt")
    pins = [line for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines() if "==" in line]
    wanted = {f"python/{pin.replace('-', '_').replace('==', '-')}.dist-info/METADATA" for pin in pins}

    with zipfile.ZipFile(built.path) as archive:
        assert wanted <= set(archive.namelist())
        assert all(name.startswith("python/") for name in archive.namelist())
    assert 0 < built.unzipped < 200_000_000


def test_a_layer_holds_every_library_that_its_modules_are_linked_with() -> None:
    """Lambda's processor is not this machine's, so its modules cannot be imported here: their links are read."""
    with zipfile.ZipFile(build(REQUIREMENTS / "arrow.txt").path) as archive:
        members = {PurePosixPath(member).name: member for member in archive.namelist()}
        linked = {
            library.decode()
            for member in members.values()
            if ".so" in member
            for library in re.findall(rb"\0(lib(?:arrow|parquet)[a-z_]*\.so\.\d+)(?=\0)", archive.read(member))
        }

    assert len(linked) > 3
    assert linked <= members.keys()


def test_the_same_requirements_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    build(REQUIREMENTS / "arrow.txt")
    monkeypatch.setattr(layer, "install", lambda *_: pytest.fail("built again"))

    assert build(REQUIREMENTS / "arrow.txt").path.exists()


def test_the_same_files_give_the_same_zip(tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "package").mkdir(parents=True)
    (files / "package" / "a.py").write_text("A = 1\n")
    pack(files, tmp_path / "one.zip")
    (files / "package" / "a.py").touch()
    pack(files, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.slow
def test_a_layer_whose_packages_cannot_be_had_says_what_pip_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "CACHE", tmp_path / "layers")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "odd.txt").write_text("no-such-package==9.9\n")

    with pytest.raises(LayerFailed, match=r"odd\.txt: pip could not install it(.|\n)*no-such-package"):
        build(tmp_path / "odd.txt")
    assert list((tmp_path / "layers").iterdir()) == []


@pytest.mark.slow
def test_arrow_works_without_what_the_layer_leaves_out(tmp_path: Path) -> None:
    """Run what consumer and committer do with a copy of this machine's Arrow, trimmed as the layer's is."""
    home = Path(pyarrow.__file__).parent
    for path in home.rglob("*"):
        name = f"pyarrow/{path.relative_to(home).as_posix()}"
        if path.is_file() and keeps(name):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).hardlink_to(path) if same_disk(path, tmp_path) else copy(path, tmp_path / name)
    code = (
        "import pyarrow as pa, pyarrow.parquet as pq, pyarrow.compute as pc, pyarrow.dataset, pyarrow.fs\n"
        "table = pa.table({'x': [3, 1, 2]})\n"
        "sink = pa.BufferOutputStream(); pq.write_table(table, sink, compression='zstd', row_group_size=2)\n"
        "assert pq.read_table(pa.BufferReader(sink.getvalue())).equals(table)\n"
        "assert pc.sum(table['x']).as_py() == 6 and pa.fs.S3FileSystem\n"
        "print(pa.__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


def same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
