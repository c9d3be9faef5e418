from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from domain.tables import PROPENSITY_FEATURES
from sagemaker_jobs.propensity import serve
from sagemaker_jobs.propensity.package import code_digest
from sagemaker_jobs.propensity.settings import TRAINING_METRICS
from tests.sagemaker_jobs.propensity.container import RUN, Container, JobFailed
from tests.sagemaker_jobs.propensity.shoppers import any_examples

pytestmark = pytest.mark.slow
JSON = "application/json"

Day = tuple[Container, pa.Table, Any, str, dict[str, Any]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Train and validate once: the container, the examples, their true chances, the log and the report."""
    container = Container(tmp_path_factory.mktemp("ml"))
    table, chance = any_examples(users=3_000)
    container.prepare(table)
    log = container.train()
    container.pack("candidate")
    return container, table, chance, log, container.validate()


def test_the_model_comes_near_to_the_best_possible_auc_on_users_never_seen(day: Day) -> None:
    _, table, chance, _, report = day
    test = np.array(table["split"].to_pylist()) == "test"
    best = roc_auc_score(table["purchased"].to_numpy(zero_copy_only=False)[test], chance[test])

    assert report["metrics"]["auc"]["value"] / best >= 0.97


def test_the_report_s_auc_is_that_of_the_scores_it_wrote(day: Day) -> None:
    container, table, _, _, report = day
    scores = pq.read_table(container.root / "output" / "scores.parquet")
    labels = dict(zip(table["session_id"].to_pylist(), table["purchased"].to_pylist(), strict=True))

    found = roc_auc_score([labels[session] for session in scores["session_id"].to_pylist()], scores["score"].to_numpy())

    assert report["metrics"]["auc"]["value"] == pytest.approx(found, abs=1e-12)


def test_the_first_model_passes_against_the_packaged_baseline(day: Day) -> None:
    report = day[4]

    assert (report["passed"], report["reasons"], report["champion"]["name"]) == (True, [], "baseline")
    assert report["comparison"]["gain_over_champion"]["low"] > 0


def test_training_prints_each_metric_that_the_job_declares(day: Day) -> None:
    log = day[3]

    found = {name: [float(value) for value in re.findall(pattern, log)] for name, pattern in TRAINING_METRICS}

    assert all(len(values) == 1 for values in found.values()), found
    assert found["train_rows"] == [day[4]["dataset"]["rows"]["train"]]


def test_the_model_says_what_it_was_made_from(day: Day) -> None:
    metadata = json.loads((day[0].model / "metadata.json").read_text())

    assert metadata["run"] == RUN
    assert (metadata["table"], metadata["snapshot"]) == ("features.propensity", "6871256214523178491")
    assert metadata["code_digest"] == code_digest()
    assert metadata["features"] == [column.name for column in PROPENSITY_FEATURES]
    assert set(metadata["candidates"]) == {"trivial", "logistic", "boosting"}
    assert metadata["chosen"] == min(metadata["candidates"], key=metadata["candidates"].get) != "trivial"


def test_the_endpoint_s_scores_are_the_offline_scores_whatever_the_batch(day: Day) -> None:
    container, table, *_ = day
    offline = pq.read_table(container.root / "output" / "scores.parquet").slice(0, 300)
    rows = table.filter(pc.is_in(table["session_id"], offline["session_id"])).sort_by("session_id")
    instances = rows.select([column.name for column in PROPENSITY_FEATURES]).to_pylist()
    model = serve.model_fn(str(container.model))

    for size in (1, 7, 300):
        online: list[float] = []
        for start in range(0, 300, size):
            body = json.dumps({"instances": instances[start : start + size]})
            answer = json.loads(serve.output_fn(serve.predict_fn(serve.input_fn(body, JSON), model), JSON))
            assert answer["model"] == RUN
            online += answer["predictions"]
        assert np.abs(np.array(online) - offline["score"].to_numpy()).max() <= 1e-9


def test_the_artefact_serves_with_nothing_but_its_own_code(day: Day, tmp_path: Path) -> None:
    container, table, *_ = day
    rows = table.slice(0, 3).select([column.name for column in PROPENSITY_FEATURES]).to_pylist()
    request = json.dumps({"instances": rows})

    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(container.model), request],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    code, chances = json.loads(done.stdout)
    assert Path(code).is_relative_to(container.model)
    assert chances == serve.model_fn(str(container.model)).score(rows)


ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/code")
import serve, domain
model = serve.model_fn(sys.argv[1])
answer = serve.predict_fn(serve.input_fn(sys.argv[2], "application/json"), model)
print(json.dumps([domain.__file__, answer["predictions"]]))
"""


def test_slices_hold_every_test_row_once(day: Day) -> None:
    report = day[4]

    for name in ("device", "returning", "hour"):
        rows = [item["n"] for item in report["slices"] if item["slice"] == name]
        assert sum(rows) == report["dataset"]["rows"]["test"]
    overall = report["metrics"]["auc"]
    device = next(item["auc"] for item in report["slices"] if item["value"] == "tablet")
    assert device["high"] - device["low"] > overall["high"] - overall["low"]


def test_the_features_that_drive_this_world_matter_most_and_noise_does_not(day: Day) -> None:
    importance = {item["feature"]: item["mean"] for item in day[4]["importance"]}

    assert set(list(importance)[:2]) == {"carts", "product_views"}
    assert abs(importance["weekday"]) < 0.005


def test_pictures_are_svg_that_a_browser_can_read(day: Day) -> None:
    for name in ("roc", "calibration", "histogram", "slices", "importance"):
        root = ElementTree.parse(day[0].root / "output" / f"{name}.svg").getroot()

        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter())) > 10


def test_the_champion_trained_again_is_refused_since_it_is_not_better(day: Day, tmp_path: Path) -> None:
    container, table, *_ = day
    again = Container(tmp_path)
    again.prepare(table)
    for path in ("candidate", "champion"):
        (again.root / path).mkdir(exist_ok=True)
        (again.root / path / "model.tar.gz").write_bytes((container.root / "candidate" / "model.tar.gz").read_bytes())

    report = again.validate()

    assert not report["passed"]
    assert [reason.split(":")[0] for reason in report["reasons"]] == ["not better than the champion"]


def test_the_same_seed_trains_the_same_model(day: Day, tmp_path: Path) -> None:
    container, table, *_ = day
    again = Container(tmp_path)
    again.prepare(table)

    again.train()

    rows = table.slice(0, 500).select([column.name for column in PROPENSITY_FEATURES]).to_pylist()
    first, second = (serve.model_fn(str(folder)).score(rows) for folder in (container.model, again.model))
    assert np.abs(np.array(first) - second).max() <= 1e-9


def test_training_refuses_a_dataset_that_lacks_a_class(tmp_path: Path) -> None:
    table, _ = any_examples(users=1_000)
    nobody = table.set_column(table.schema.get_field_index("purchased"), "purchased", pa.array([False] * len(table)))
    container = Container(tmp_path)
    container.prepare(nobody)

    with pytest.raises(JobFailed, match="train: 0 rows with a purchase, at least 20 are needed"):
        container.train()


def test_training_refuses_a_channel_without_files(tmp_path: Path) -> None:
    container = Container(tmp_path)
    container.prepare(any_examples(users=50)[0])
    for path in (container.root / "dataset").rglob("*.parquet"):
        path.unlink()

    with pytest.raises(JobFailed, match=r"no \*.parquet below it"):
        container.train()
