"""Run PySpark scripts on this machine with the engine that Glue 6.0 runs."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Glue 6.0 is Spark 4.1 with Iceberg 1.11.0 (AWS's release notes for Glue versions).
PACKAGES = (
    "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",
    "org.apache.iceberg:iceberg-aws-bundle:1.11.0",
)
MOST_DRIVER_MEGABYTES = 2048
LEAST_JAVA = 17  # Spark 4's
_NEEDED = f"Spark needs Java {LEAST_JAVA} or newer"
_REMEDY = f"install a JDK {LEAST_JAVA} or point JAVA_HOME at one"

# Jobs here last seconds, and most of those are start-up: the first compiler alone halves a run of
# 200 thousand rows and breaks even with both at about 2 million (measured on 2 cores).
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -Xshare:auto -Xlog:cds=off -Xlog:cds+dynamic=off"


class MissingEngine(Exception):
    """Something that Spark needs is not on this machine; the message says what and what to do."""


def java() -> Path:
    """Return a Java that Spark runs on: JAVA_HOME's, the path's, or this environment's. Raises `MissingEngine`."""
    home = os.environ.get("JAVA_HOME")
    if home and not Path(home, "bin", "java").is_file():
        raise MissingEngine(f"{_NEEDED}: JAVA_HOME={home} has no bin/java; {_REMEDY}")
    found = [Path(home, "bin", "java")] if home else [Path(path) for path in (shutil.which("java"),) if path]
    found += sorted(Path(sys.prefix, "jdk").glob("*/bin/java"))
    versions = {path: _major_version(path) for path in found}
    new_enough = [path for path, version in versions.items() if version >= LEAST_JAVA]
    if new_enough:
        return new_enough[0]
    seen = ", ".join(f"{path} is Java {version}" for path, version in versions.items())
    raise MissingEngine(f"{_NEEDED}: {seen or 'no java on the PATH and no JAVA_HOME'}; {_REMEDY}")


@functools.cache
def _major_version(path: Path) -> int:
    """Return 17 for 17.0.15, 8 for 1.8.0, 0 for what does not answer as a Java."""
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def home() -> Path:
    """Return where PySpark's own Spark is installed. Raises `MissingEngine`."""
    found = importlib.util.find_spec("pyspark")
    if found is None or found.origin is None:
        raise MissingEngine("Spark needs the package pyspark: install this project's requirements")
    return Path(found.origin).parent


def jars() -> list[Path]:
    """Return the Iceberg jars in Ivy's cache, fetched from Maven Central if they are not there yet."""
    paths = [_ivy() / "jars" / ("_".join(p.split(":")[:2]) + f"-{p.split(':')[2]}.jar") for p in PACKAGES]
    if not all(path.is_file() for path in paths):
        _resolve(paths)
    return paths


def submit(
    script: Path,
    arguments: Sequence[str],
    settings: Mapping[str, str],
    py_files: Sequence[Path] = (),
    jars: Sequence[Path] = (),
) -> list[str]:
    """Return the command that runs `script` with `arguments` under Spark `settings`, which win over the engine's."""
    merged = {**engine(), **catalog_settings(settings), **settings}
    command = [str(home() / "bin" / "spark-submit"), "--master", "local[*]"]
    for name, value in merged.items():
        command += ["--conf", f"{name}={value}"]
    if py_files:
        command += ["--py-files", ",".join(map(str, py_files))]
    if jars:
        command += ["--jars", ",".join(map(str, jars))]
    return [*command, str(script), *arguments]


def engine() -> dict[str, str]:
    """Return what suits Spark to one small machine; a job's own settings come after these."""
    options = f"{JAVA_OPTIONS} -XX:SharedArchiveFile={archive()}"
    cores = os.cpu_count() or 2
    return {
        # On the JVM's own class path, not added later, so that the shared archive covers them.
        "spark.driver.extraClassPath": _class_path(),
        "spark.driver.extraJavaOptions": options,
        "spark.driver.memory": f"{driver_megabytes()}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.log.level": "WARN",
        "spark.sql.shuffle.partitions": str(max(2, min(cores, 8))),  # the default, 200, is for a cluster
    }


def catalog_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what each catalogue named in `settings` needs to reach this cloud's S3, which has no host per bucket."""
    prefix = "spark.sql.catalog."
    names = {key.removeprefix(prefix) for key in settings if key.startswith(prefix)}
    return {f"{prefix}{name}.s3.path-style-access": "true" for name in names if "." not in name}


def environment() -> dict[str, str]:
    """Return the variables with which Spark finds Java, itself and this interpreter. Raises `MissingEngine`."""
    return {
        "JAVA_HOME": str(java().resolve().parent.parent),
        "SPARK_HOME": str(home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "LC_ALL": "C.UTF-8",  # else Java cannot read a path with an umlaut where the shell says LANG=C
    }


def driver_megabytes() -> int:
    """Return how much memory a job's JVM may take: a third of the machine, 2 GB at most."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return min(MOST_DRIVER_MEGABYTES, machine // 3)


@functools.cache
def archive() -> Path:
    """Return where the JVM's archive of parsed classes is kept, one for each Java and class path."""
    version = subprocess.run([java(), "-version"], capture_output=True, check=True).stderr
    digest = hashlib.sha256(version + _class_path().encode() + str(home()).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "laptop-cloud"
    return folder / f"spark-{digest}.jsa"


def _class_path() -> str:
    return ":".join(map(str, jars()))


def _ivy() -> Path:
    return Path.home() / ".ivy2.5.2"  # Spark 4.1's own default


def _resolve(paths: Sequence[Path]) -> None:
    command = [
        str(home() / "bin" / "spark-submit"),
        "--packages",
        ",".join(PACKAGES),
        "--conf",
        "spark.ui.enabled=false",
        "--conf",
        f"spark.jars.ivy={_ivy()}",  # its own default follows the user's entry in passwd, not HOME
    ]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "nothing.py")
        script.write_text("")
        done = subprocess.run(
            [*command, str(script)],
            env={**os.environ, **environment()},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or not all(path.is_file() for path in paths):
        raise MissingEngine(f"cannot fetch {', '.join(PACKAGES)} from Maven Central: {done.stderr.strip()[-300:]}")
