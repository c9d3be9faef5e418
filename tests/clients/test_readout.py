"""`make readout` asks Athena for the statistics and leaves a page, figures and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from clients.athena import ask
from clients.readout.__main__ import main
from domain.contract.arrow import arrow_schema
from domain.contract.iceberg import iceberg_schema
from domain.experiment.declaration import Experiment
from domain.experiment.readout import read
from domain.experiment.statistics import answered, question, snapshots
from domain.experiments import CHECKOUT, COLOUR, EXPERIMENTS
from domain.tables import STATISTICS
from local import iceberg
from local.cloud import Cloud
from tests.databases import anew
from tests.domain.experiment.simulated import simulated

SEED = 20260301
BUCKET = "test-readout"
PICTURES = {"forest.svg", "course.svg", "statistic.svg", "densities.svg"}


def rows_of(experiment: Experiment, effect: float, share: float = 0.5) -> list[dict[str, Any]]:
    columns = [column.name for column in STATISTICS.columns]
    measures = columns[columns.index("value") : columns.index("histogram")]
    nothing = {**dict.fromkeys(columns), **dict.fromkeys(measures, 0.0)}
    found = simulated(SEED, effect, experiment, days=14, a_day=2000, share=share)
    at = {day: datetime.combine(day, time(), timezone.utc) for day in {row["as_of"] for row in found}}
    return [{**nothing, **row, "experiment": experiment.name, "as_of": at[row["as_of"]]} for row in found]


@pytest.fixture(scope="module")
def lake(cloud: Cloud) -> Iterator[Any]:
    """The table of statistics, with an effect in one experiment and a broken ratio in the other."""
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    anew(cloud.client("glue"), STATISTICS.database)
    where = {"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/athena/"}}
    cloud.client("athena").create_work_group(Name="rivermill", Configuration=where)
    fields = [
        {"Id": field["id"], "Name": field["name"], "Type": field["type"], "Required": field["required"]}
        for field in iceberg_schema(STATISTICS.columns)["fields"]
    ]
    described = {"Location": f"s3://{BUCKET}/statistics/", "Schema": {"Type": "struct", "Fields": fields}}
    iceberg.create(cloud, STATISTICS.database, STATISTICS.name, described)
    table = iceberg.catalogue(cloud).load_table(STATISTICS.full_name)
    known = [*rows_of(CHECKOUT, 0.2), *rows_of(COLOUR, 0.2, share=0.4)]
    table.append(pa.Table.from_pylist(known, arrow_schema(STATISTICS.columns)))
    yield table
    cloud.client("athena").delete_work_group(WorkGroup="rivermill", RecursiveDeleteOption=True)
    cloud.client("glue").delete_table(DatabaseName=STATISTICS.database, Name=STATISTICS.name)
    cloud.client("glue").delete_database(Name=STATISTICS.database)


@pytest.fixture(autouse=True)
def account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_a_readout_leaves_a_page_with_figures_and_pictures(
    lake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--experiment", CHECKOUT.name, "--folder", str(tmp_path)]) == 0

    folder, said = tmp_path / CHECKOUT.name, capsys.readouterr().out
    figures = json.loads((folder / "readings.json").read_text())
    page = (folder / "page.html").read_text()
    assert {path.name for path in folder.iterdir()} == {"page.html", "readings.json", *PICTURES}
    assert "one_page is better than control in buyers" in said
    assert all(conclusion.split(":")[0] in page for conclusion in figures["conclusions"])
    assert figures["findings"][0]["verdict"] == "better"
    assert figures["look"] == {**figures["look"], "as_of": "2026-03-15", "elapsed": 14}
    assert page.count("<svg") == len(PICTURES) and "<img" not in page and "$" not in page


@pytest.mark.slow
def test_what_athena_gives_reads_as_what_was_written(lake: Any) -> None:
    asked = read(CHECKOUT, snapshots(answered(ask(question(CHECKOUT.name)))))
    scanned = lake.scan().to_arrow().to_pylist()
    written = read(CHECKOUT, snapshots([row for row in scanned if row["experiment"] == CHECKOUT.name]))

    assert asked.arm_to_units == written.arm_to_units
    for one, other in zip(asked.findings, written.findings, strict=True):
        assert one.reading.effect == pytest.approx(other.reading.effect, rel=1e-9)
        assert one.adjusted == pytest.approx(other.adjusted, rel=1e-6)


@pytest.mark.slow
def test_a_broken_ratio_stands_above_all_on_the_page_and_in_the_exit_code(
    lake: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--experiment", COLOUR.name, "--folder", str(tmp_path)]) == 1

    page = (tmp_path / COLOUR.name / "page.html").read_text()
    assert page.index("Conclude nothing") < page.index("What each arm did")
    assert 'class="conclusions alarm"' in page
    assert "Conclude nothing" in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize("name", ["", "one_page", "x' OR '1'='1"])
def test_a_name_that_is_not_declared_gets_the_ones_that_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--experiment", name]) == 2

    said = capsys.readouterr().err
    assert all(declared in said for declared in EXPERIMENTS) and "Traceback" not in said


@pytest.mark.slow
def test_an_experiment_without_statistics_says_how_to_make_them(
    lake: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPERIMENTS, "unseen", replace(CHECKOUT, name="unseen"))

    assert main(["--experiment", "unseen"]) == 2
    assert "rivermill-readout" in capsys.readouterr().err


def test_days_are_days_of_the_plan() -> None:
    [first, *_] = snapshots(rows_of(CHECKOUT, 0.0))

    assert first.as_of == date(2026, 3, 2)
