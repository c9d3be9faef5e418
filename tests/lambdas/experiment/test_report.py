"""The deployed readout, over the laptop cloud's Athena: a page and figures in the lake, readings as an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, time, timezone
from typing import Any

import pyarrow as pa
import pytest

from domain.contract.arrow import arrow_schema
from domain.contract.iceberg import iceberg_schema
from domain.experiment.readout import read
from domain.experiment.statistics import snapshots
from domain.experiments import CHECKOUT, COLOUR, EXPERIMENTS, RANKING, NotDeclared
from domain.tables import STATISTICS
from lambdas.experiment import report
from local import iceberg
from local.cloud import Cloud
from tests.databases import anew
from tests.domain.experiment.simulated import simulated

pytestmark = pytest.mark.slow

SEED = 20261122
BUCKET, DESK = "test-report", "test-report"
DAYS = 5


def rows_of(name: str, effect: float, share: float) -> list[dict[str, Any]]:
    columns = [column.name for column in STATISTICS.columns]
    measures = columns[columns.index("value") : columns.index("histogram")]
    nothing = {**dict.fromkeys(columns), **dict.fromkeys(measures, 0.0)}
    found = simulated(SEED, effect, EXPERIMENTS[name], days=DAYS, a_day=1500, share=share)
    at = {day: datetime.combine(day, time(), timezone.utc) for day in {row["as_of"] for row in found}}
    return [{**nothing, **row, "experiment": name, "as_of": at[row["as_of"]]} for row in found]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    """What was summed up: an effect, and a broken ratio; of the bandit nothing."""
    return {CHECKOUT.name: rows_of(CHECKOUT.name, 0.5, 0.5), COLOUR.name: rows_of(COLOUR.name, 0.0, 0.6)}


@pytest.fixture(scope="module")
def lake(cloud: Cloud, rows: dict[str, list[dict[str, Any]]]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**cloud.environment(), "BUCKET": BUCKET, "WORKGROUP": DESK}.items():
            patch.setenv(name, value)
        cloud.client("s3").create_bucket(Bucket=BUCKET)
        where = {"ResultConfiguration": {"OutputLocation": f"s3://{BUCKET}/athena/"}}
        cloud.client("athena").create_work_group(Name=DESK, Configuration=where)
        anew(cloud.client("glue"), STATISTICS.database)
        fields = [
            {"Id": field["id"], "Name": field["name"], "Type": field["type"], "Required": field["required"]}
            for field in iceberg_schema(STATISTICS.columns)["fields"]
        ]
        described = {"Location": f"s3://{BUCKET}/statistics/", "Schema": {"Type": "struct", "Fields": fields}}
        iceberg.create(cloud, STATISTICS.database, STATISTICS.name, described)
        table = iceberg.catalogue(cloud).load_table(STATISTICS.full_name)
        written = [row for found in rows.values() for row in found]
        table.append(pa.Table.from_pylist(written, schema=arrow_schema(STATISTICS.columns)))
        report.settings.cache_clear()
        report.client.cache_clear()
        yield
        report.settings.cache_clear()
        report.client.cache_clear()
        cloud.client("athena").delete_work_group(WorkGroup=DESK, RecursiveDeleteOption=True)
        cloud.client("glue").delete_table(DatabaseName=STATISTICS.database, Name=STATISTICS.name)
        cloud.client("glue").delete_database(Name=STATISTICS.database)


@pytest.fixture(scope="module")
def said(lake: None) -> dict[str, Any]:
    readouts: dict[str, Any] = report.handler({}, None)["readouts"]
    return readouts


def stored(cloud: Cloud, name: str) -> dict[str, Any]:
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"readouts/{name}/").get("Contents", ())
    return {
        item["Key"].rpartition("/")[2]: cloud.client("s3").get_object(Bucket=BUCKET, Key=item["Key"]) for item in found
    }


def test_everything_declared_is_read_when_nobody_says_what(said: dict[str, Any]) -> None:
    assert said.keys() == EXPERIMENTS.keys()


def test_the_answer_is_json_and_holds_the_readings_of_the_shared_core(
    said: dict[str, Any], rows: dict[str, list[dict[str, Any]]]
) -> None:
    known = read(CHECKOUT, snapshots(rows[CHECKOUT.name]))
    [primary] = [found for found in said[CHECKOUT.name]["findings"] if found["role"] == "primary"]

    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert primary["verdict"] == known.of("buyers", "one_page").verdict.value
    assert primary["reading"]["relative"] == pytest.approx(known.of("buyers", "one_page").reading.relative, rel=1e-9)
    assert "one_page is better than control in buyers" in said[CHECKOUT.name]["conclusions"][0]


def test_the_bucket_gets_the_page_and_the_figures_that_were_answered(cloud: Cloud, said: dict[str, Any]) -> None:
    files = stored(cloud, CHECKOUT.name)
    figures = json.loads(files["readings.json"]["Body"].read())

    assert said[CHECKOUT.name]["page"] == f"s3://{BUCKET}/readouts/{CHECKOUT.name}/page.html"
    assert files["page.html"]["ContentType"] == "text/html; charset=utf-8"
    assert figures == {name: value for name, value in said[CHECKOUT.name].items() if name != "page"}
    assert {"page.html", "readings.json", "forest.svg", "densities.svg"} <= files.keys()


def test_a_broken_ratio_is_said_first(said: dict[str, Any]) -> None:
    assert said[COLOUR.name]["conclusions"][0].startswith("Conclude nothing")
    assert {found["verdict"] for found in said[COLOUR.name]["findings"]} == {"not to be trusted"}


def test_an_experiment_of_which_nothing_is_known_has_no_page_and_says_why(cloud: Cloud, said: dict[str, Any]) -> None:
    assert "no unit has been exposed" in said[RANKING.name]["nothing"]
    assert stored(cloud, RANKING.name) == {}


def test_one_that_nobody_declared_is_refused_with_those_that_are(lake: None) -> None:
    with pytest.raises(NotDeclared, match="not declared: name one of button_colour"):
        report.handler({"experiment": "x' OR 'a'='a'"}, None)
