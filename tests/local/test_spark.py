"""How a script is given to Spark."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from local import spark
from local.glue_runs import parse_settings

CATALOGS = {
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.lake.warehouse": "s3://any/",
    "spark.sql.catalog.other": "org.apache.iceberg.spark.SparkCatalog",
}


def test_each_named_catalog_reaches_buckets_by_path() -> None:
    assert spark.catalog_settings(CATALOGS) == {
        "spark.sql.catalog.lake.s3.path-style-access": "true",
        "spark.sql.catalog.other.s3.path-style-access": "true",
    }


def test_a_jobs_own_settings_win_over_the_engines() -> None:
    command = spark.submit(Path("job.py"), ["--day", "1"], {"spark.sql.shuffle.partitions": "17"})

    assert "spark.sql.shuffle.partitions=17" in command
    assert sum(word.startswith("spark.sql.shuffle.partitions=") for word in command) == 1
    assert command[-3:] == ["job.py", "--day", "1"]


def test_the_driver_never_takes_more_than_a_third_of_the_machine() -> None:
    machine = int(Path("/proc/meminfo").read_text().split()[1]) // 1024

    assert 0 < spark.driver_megabytes() <= min(2048, machine // 3 + 1)


@pytest.mark.parametrize("home", ["/nowhere", None])
def test_a_missing_java_is_one_line_that_says_what_to_do(
    home: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    if home:
        monkeypatch.setenv("JAVA_HOME", home)

    with pytest.raises(
        spark.MissingEngine, match=r"^Spark needs Java 17 or newer: .*JAVA_HOME.*; install a JDK 17[^\n]*$"
    ):
        spark.java()


def test_a_java_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "nothing"))

    with pytest.raises(spark.MissingEngine, match="bin/java is Java 8; install a JDK 17"):
        spark.java()


def test_a_java_of_this_environment_serves_where_the_machine_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = spark.java()
    own = tmp_path / "jdk" / "jdk-17" / "bin" / "java"
    own.parent.mkdir(parents=True)
    own.symlink_to(here)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("sys.prefix", str(tmp_path))

    assert spark.java() == own


words = some.text(some.characters(codec="ascii", categories=["L", "N"], include_characters="._/:"), min_size=1)


@given(some.dictionaries(words.filter(lambda word: "=" not in word), words))
def test_chained_settings_are_read_as_they_were_written(settings: dict[str, str]) -> None:
    chained = " --conf ".join(f"{name}={value}" for name, value in settings.items())

    assert parse_settings(chained) == settings


@pytest.mark.slow
def test_spark_starts_from_a_folder_with_a_space_and_an_umlaut_in_a_shell_without_a_locale(tmp_path: Path) -> None:
    place = tmp_path / "a b ü"
    place.symlink_to(spark.home())
    given = {"PATH": os.environ["PATH"], "LANG": "C", **spark.environment(), "SPARK_HOME": str(place)}
    command = [str(place / "bin" / "spark-submit"), "--version"]
    said = subprocess.run(command, env=given, capture_output=True, text=True, check=False)

    assert (said.returncode, "version 4.1" in said.stderr) == (0, True), said.stderr
