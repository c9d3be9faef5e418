"""Have Apache Kafka's jars at hand: each pinned by its digest, fetched from Maven Central once for this machine."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

REPOSITORY = "https://repo1.maven.org/maven2"
LIST = Path(__file__).with_name("jars.txt")
FETCHED_AT_ONCE = 8
SECONDS = 60.0


class MissingJar(Exception):
    """A jar cannot be had; the message says which, why and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar's coordinates and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    digest: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def address(self) -> str:
        """Where Maven Central has it."""
        return f"{REPOSITORY}/{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def jars(folder: Path | None = None) -> list[Path]:
    """Return the jars' paths, fetched if they are not there yet. Raises `MissingJar`."""
    folder = folder or cache()
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(FETCHED_AT_ONCE) as pool:
        return list(pool.map(lambda jar: _have(jar, folder), pinned()))


def pinned() -> Iterator[Jar]:
    """List the jars."""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield Jar(*re.split("[: ]", line))


def cache() -> Path:
    """Return the folder where this machine keeps them, by the list's digest."""
    digest = hashlib.sha256(LIST.read_bytes()).hexdigest()[:16]
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laptop-cloud" / f"kafka-{digest}"


def _have(jar: Jar, folder: Path) -> Path:
    path = folder / jar.name
    if not path.is_file():
        content = _fetched(jar)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(path)  # whole or not at all, whoever else fetches it now
    return path


def _fetched(jar: Jar) -> bytes:
    try:
        with urllib.request.urlopen(jar.address, timeout=SECONDS) as answer:  # noqa: S310 - an https address of ours
            content: bytes = answer.read()
    except (URLError, OSError) as failure:
        raise MissingJar(
            f"Kafka needs {jar.address} ({failure}): let this machine reach Maven Central, or put it into {cache()}"
        ) from failure
    if hashlib.sha256(content).hexdigest() != jar.digest:
        raise MissingJar(f"Kafka needs {jar.address}, but its SHA-256 is not {jar.digest}: what serves it is not it")
    return content
