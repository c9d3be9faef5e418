from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
from math import exp
from pathlib import Path
from typing import Any

import pytest

from domain.tables import PROPENSITY_FEATURES
from sagemaker_jobs.propensity import serve
from sagemaker_jobs.propensity.model import load
from sagemaker_jobs.propensity.package import BASELINE, build_baseline, build_source, code
from sagemaker_jobs.propensity.settings import SERVE_ENVIRONMENT
from tests.domain.serve.test_request import any_row


@pytest.mark.parametrize("build", [build_source, build_baseline])
def test_an_archive_has_the_same_bytes_every_time(build: Any, tmp_path: Path) -> None:
    one, other = build(tmp_path / "one.tar.gz"), build(tmp_path / "elsewhere" / "other.tar.gz")

    assert one.read_bytes() == other.read_bytes()


def test_the_source_has_at_its_root_what_the_containers_start(tmp_path: Path) -> None:
    with tarfile.open(build_source(tmp_path / "source.tar.gz")) as archive:
        names = archive.getnames()

    assert {"train.py", "validate.py", "serve.py", "requirements.txt", "domain/tables.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("domain/ingest")]


def test_the_baseline_scores_before_anything_is_learned_and_without_scikit_learn(tmp_path: Path) -> None:
    with tarfile.open(build_baseline(tmp_path / "model.tar.gz")) as archive:
        archive.extractall(tmp_path / "model")
    request = json.dumps({"instances": [any_row(carts=2, product_views=3, purchases_before=0)]})
    logit = -2.5 + 2 * 1.0 + 3 * 0.2

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SKLEARN, str(tmp_path / "model")],
        input=request,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["model"] == "baseline"
    assert answer["predictions"] == pytest.approx([1 / (1 + exp(-logit))])


WITHOUT_SKLEARN = """
import runpy, sys
sys.modules["sklearn"] = sys.modules["joblib"] = None
sys.path.insert(0, sys.argv[1] + "/code")
runpy.run_path(sys.argv[1] + "/code/serve.py", run_name="__main__")
"""


def test_the_baseline_weighs_only_features_that_there_are(tmp_path: Path) -> None:
    assert set(BASELINE["weights"]) <= {column.name for column in PROPENSITY_FEATURES}


def test_an_unknown_optional_feature_is_scored(tmp_path: Path) -> None:
    with tarfile.open(build_baseline(tmp_path / "model.tar.gz")) as archive:
        archive.extractall(tmp_path / "model")
    nothing = any_row(device=None, country=None, mean_price=None, days_since_session=None, days_since_purchase=None)

    assert 0 < load(tmp_path / "model").score([nothing])[0] < 1


def test_the_code_is_python_that_the_container_can_read() -> None:
    for name, content in code().items():
        if name.endswith(".py"):
            ast.parse(content, filename=name, feature_version=(3, 10))


def test_the_container_is_told_to_start_what_the_artefact_has() -> None:
    assert SERVE_ENVIRONMENT["SAGEMAKER_PROGRAM"] in code()


@pytest.mark.parametrize("kind", ["text/csv", "application/x-npy", ""])
def test_other_content_types_are_refused(kind: str) -> None:
    with pytest.raises(serve.UnsupportedType, match="use application/json"):
        serve.input_fn("{}", kind)
