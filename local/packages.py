"""Lay out what a Lambda worker may import: the function's code, its layers, and the packages of AWS's runtime.

A layer is built for Lambda's Python and processor, so its distributions are replaced by this machine's installation of
the same distribution and version, file by file; what the layer left out of them stays out. First-party modules of a
layer are used as they are.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

# AWS Lambda Developer Guide, "Building Lambda functions with Python": the runtime includes boto3 and what it needs.
RUNTIME_DISTRIBUTIONS = ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "urllib3", "six")

_SITE = re.compile(r"^python/(?:lib/python3\.\d+/site-packages/)?")
_DISTRIBUTION = re.compile(r"^([^/]+)-([^/-]+)\.dist-info/")
# Libraries that a wheel bundles have names of their own on each platform.
_ONE_PLATFORM_S = re.compile(r"\.libs/|\.dylibs/|\.dylib$|\.dist-info/")
_PLATFORM = re.compile(r"\.(?:cpython-|abi3|cp3)[^/]*\.so$")

_laying_out = threading.Lock()


class MissingPackage(Exception):
    """This machine lacks a distribution that a layer brings; the message says what to install."""


def unpacked(folder: Path, archive: bytes, digest: str) -> Path:
    """Return the folder of a zip's content, unpacked once for each digest."""

    def fill(target: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(archive)) as content:
            content.extractall(target)

    return _once(folder / "code" / digest, fill)


def layered(folder: Path, layers: Sequence[tuple[str, bytes]]) -> Path:
    """Return the folder that stands for /opt with these layers (digest, zip), the last on top.

    Raises `MissingPackage`.
    """
    digest = hashlib.sha256("".join(digest for digest, _ in layers).encode()).hexdigest()

    def fill(target: Path) -> None:
        for _, archive in layers:
            with zipfile.ZipFile(io.BytesIO(archive)) as content:
                _add_layer(target, content)

    return _once(folder / "layers" / digest, fill)


def runtime(folder: Path) -> Path:
    """Return a folder with only the packages that AWS's Python runtime includes."""

    def fill(target: Path) -> None:
        for name in RUNTIME_DISTRIBUTIONS:
            distribution = metadata.distribution(name)
            for top in sorted({file.parts[0] for file in _names(distribution)}):
                (target / top).symlink_to(str(distribution.locate_file(top)))

    versions = "-".join(metadata.version(name) for name in RUNTIME_DISTRIBUTIONS)
    return _once(folder / "runtime" / versions, fill)


def _once(path: Path, fill: Callable[[Path], None]) -> Path:
    if path.exists():
        return path
    with _laying_out:  # a deployment makes many functions with the same layers at once
        return _filled(path, fill)


def _filled(path: Path, fill: Callable[[Path], None]) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=path.parent, prefix=".building-"))
        try:
            fill(building)
            building.chmod(0o755)
            building.rename(path)
        except OSError:
            if not path.exists():  # else another process was first with the same content
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return path


def _add_layer(target: Path, content: zipfile.ZipFile) -> None:
    names = [name for name in content.namelist() if not name.endswith("/")]
    sited = {name: _SITE.sub("", name) for name in names if name.startswith("python/")}
    present = {_portable(name) for name in sited.values()}
    replaced: set[str] = set()
    for name, version in _distributions(sited.values()):
        replaced |= _link(target / "python", _installed(name, version), present)
        replaced |= {_portable(file) for file in _recorded(content, sited, name, version)}
    for name in names:
        if name in sited and (_portable(sited[name]) in replaced or "__pycache__/" in name):
            continue
        path = target / ("python/" + sited[name] if name in sited else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content.read(name))


def _distributions(names: Iterable[str]) -> list[tuple[str, str]]:
    found = {match.groups() for name in names if (match := _DISTRIBUTION.match(name))}
    return sorted((name, version) for name, version in found)


def _installed(name: str, version: str) -> metadata.Distribution:
    wanted = f"{name.replace('_', '-')}=={version}"
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise MissingPackage(f"layer wants {wanted}, this machine has none: pip install {wanted}") from None
    if distribution.version != version:
        raise MissingPackage(f"layer wants {wanted}, this machine has {distribution.version}: pip install {wanted}")
    return distribution


def _link(site: Path, distribution: metadata.Distribution, present: set[str]) -> set[str]:
    """Link the files of an installed distribution that the layer has too; return the names of all its files."""
    names = set()
    for file, source in _files(distribution):
        name = str(file)
        names.add(_portable(name))
        if _portable(name) not in present and not _ONE_PLATFORM_S.search(name):
            continue  # the layer was trimmed of it
        _point(site / name, source)
        if source.suffix == ".py" and (compiled := Path(cache_from_source(str(source)))).exists():
            _point((site / name).parent / "__pycache__" / compiled.name, compiled)
    return names


def _point(path: Path, source: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(source)


def _files(distribution: metadata.Distribution) -> Iterator[tuple[metadata.PackagePath, Path]]:
    for file in _names(distribution):
        yield file, Path(str(distribution.locate_file(file))).resolve()


def _names(distribution: metadata.Distribution) -> list[metadata.PackagePath]:
    if not distribution.files:
        raise MissingPackage(f"{distribution.name} {distribution.version} has no RECORD here: reinstall it with pip")
    return [file for file in distribution.files if not {"..", "__pycache__"} & set(file.parts)]


def _recorded(content: zipfile.ZipFile, sited: dict[str, str], name: str, version: str) -> list[str]:
    record = f"{name}-{version}.dist-info/RECORD"
    held = next((full for full, short in sited.items() if short == record), None)
    lines = content.read(held).decode().splitlines() if held else []
    return [line.split(",")[0].strip('"') for line in lines if line]


def _portable(name: str) -> str:
    """Return a file's name without the Python version and processor that it was built for."""
    return _PLATFORM.sub(".so", name)
