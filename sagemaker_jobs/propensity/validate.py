"""Judge a candidate against a constant and against the champion, on users that neither has learned from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from domain.train import curves, measures
from domain.train.bootstrap import Estimator, intervals
from domain.train.gate import Evidence, Interval, refusals, shortages
from domain.train.measures import Array
from sagemaker_jobs.propensity import plots
from sagemaker_jobs.propensity.examples import Examples, counts, read_examples
from sagemaker_jobs.propensity.model import NAMES, Model, load, matrix_of
from sagemaker_jobs.propensity.settings import SERVE_ENVIRONMENT, ValidateSettings
from sagemaker_jobs.propensity.slices import slices_of

MEASURES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "auc": measures.auc,
    "log_loss": measures.log_loss,
    "brier": measures.brier,
    "average_precision": measures.average_precision,
    "calibration_error": measures.calibration_error,
}
SHUFFLES = 5
MOST_SHUFFLED = 5_000  # rows; more do not make importance clearer


class NoModel(FileNotFoundError):
    """A folder that should hold a model's archive does not."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The test rows, with the scores of the candidate, of the champion and of the constant; the champion's name."""

    test: Examples
    candidate: Array
    champion: Array
    trivial: Array
    champion_name: str


def main() -> None:
    """Judge what the container was given; the verdict is in the report, not in the exit code."""
    settings = ValidateSettings.read()
    threadpool_limits(1)  # as in training
    examples = read_examples(Path(settings.dataset))
    output = Path(settings.output)
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work:
        candidate, champion = (
            unpack(Path(folder), Path(work) / name)
            for name, folder in (("candidate", settings.candidate), ("champion", settings.champion))
        )
        report, scores = judge(examples, candidate, champion, int(settings.seed))
    report = {"run": settings.run, **report}
    (output / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False), encoding="utf-8")
    pq.write_table(scores, output / "scores.parquet")
    for name, picture in plots.draw(report).items():
        (output / f"{name}.svg").write_text(picture, encoding="utf-8")
    print(f"passed={report['passed']}; " + " ".join(report["reasons"]))


def unpack(folder: Path, target: Path) -> Path:
    """Unpack the one model archive of a folder."""
    archives = sorted(folder.rglob("*.gz"))
    if len(archives) != 1:
        raise NoModel(f"{folder}: {len(archives)} *.gz found, exactly one model is needed")
    with tarfile.open(archives[0]) as archive:
        # Python before 3.11.4 takes no `filter=`; where there is one, it is taken from here.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(target)  # noqa: S202 - filtered, and packed by our own training job
    return target


def judge(examples: dict[str, Examples], candidate: Path, champion: Path, seed: int) -> tuple[dict[str, Any], pa.Table]:
    """Report on a candidate, passed or not, and give both models' scores of the test rows."""
    test, (rows, positives) = examples["test"], counts(examples)
    lacks = shortages(rows, positives)
    scores, _ = score(candidate, test)
    champion_scores, champion_name = score(champion, test)
    constant = np.full(len(test), examples["train"].labels.mean())
    scored = Scored(test, scores, champion_scores, constant, champion_name)
    model = load(candidate)
    found = compare(scored, seed)
    reasons = lacks or refusals(Evidence(**found["evidence"]))
    report = {
        "passed": not reasons,
        "reasons": reasons,
        "metrics": {name: found["candidate"][name].as_json() for name in MEASURES},
        "champion": {
            "name": scored.champion_name,
            "metrics": {name: found["champion"][name].as_json() for name in MEASURES},
        },
        "comparison": {name: interval.as_json() for name, interval in found["evidence"].items()},
        "slices": slices_of(test, scored.candidate, seed),
        "importance": importance(model, test, seed),
        "curves": {
            "roc": curves.roc(scored.candidate, test.labels),
            "champion_roc": curves.roc(scored.champion, test.labels),
            "calibration": curves.calibration(scored.candidate, test.labels),
            "histogram": curves.histogram(scored.candidate, test.labels),
        },
        "dataset": {"rows": rows, "positives": positives, "test_users": len(np.unique(test.users))},
        "model": dict(model.metadata),
    }
    return report, pa.table({"session_id": test.sessions, "score": scored.candidate, "champion": scored.champion})


def score(model: Path, examples: Examples) -> tuple[Array, str]:
    """Score rows with the code that came with a model, in a process of its own, as its endpoint would; also name it."""
    request = json.dumps({"instances": examples.rows})
    command = [sys.executable, str(model / "code" / "serve.py"), str(model)]
    environment = {**os.environ, **SERVE_ENVIRONMENT}
    answer = subprocess.run(command, input=request.encode(), stdout=subprocess.PIPE, check=True, env=environment)
    said = json.loads(answer.stdout)
    return np.array(said["predictions"], dtype=float), said["model"]


def compare(scored: Scored, seed: int) -> dict[str, dict[str, Interval]]:
    """Measure candidate and champion, and the difference on the same draws of users."""
    labels = scored.test.labels

    def of(measure: Callable[[Array, Array, Array], Array], scores: Array) -> Estimator:
        return lambda weights: measure(scores, labels, weights)

    def gain(measure: Callable[[Array, Array, Array], Array], more: Array, less: Array) -> Estimator:
        return lambda weights: measure(more, labels, weights) - measure(less, labels, weights)

    estimators = {
        **{f"candidate {name}": of(measure, scored.candidate) for name, measure in MEASURES.items()},
        **{f"champion {name}": of(measure, scored.champion) for name, measure in MEASURES.items()},
        "evidence gain_over_trivial": gain(measures.log_loss, scored.trivial, scored.candidate),
        "evidence gain_over_champion": gain(measures.log_loss, scored.champion, scored.candidate),
        "evidence auc_over_champion": gain(measures.auc, scored.candidate, scored.champion),
        "evidence calibration_error": of(measures.calibration_error, scored.candidate),
    }
    distances = [name for name in estimators if name.endswith("calibration_error")]
    found = intervals(estimators, scored.test.users, seed=seed, distances=distances)
    return {
        whose: {name.split()[1]: interval for name, interval in found.items() if name.split()[0] == whose}
        for whose in ("candidate", "champion", "evidence")
    }


def importance(model: Model, test: Examples, seed: int) -> list[dict[str, Any]]:
    """Say how much AUC is lost when a feature is shuffled among rows (Breiman 2001), most important first."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(test))[:MOST_SHUFFLED]
    matrix, labels = matrix_of([test.rows[place] for place in chosen]), test.labels[chosen]
    once = np.ones((1, len(chosen)))
    whole = measures.auc(model.chances(matrix), labels, once)[0]
    found = []
    for place, feature in enumerate(NAMES):
        shuffled, losses = matrix.copy(), []
        for _ in range(SHUFFLES):
            shuffled[:, place] = random.permutation(matrix[:, place])
            losses.append(whole - measures.auc(model.chances(shuffled), labels, once)[0])
        found.append({"feature": feature, "mean": float(np.mean(losses)), "std": float(np.std(losses, ddof=1))})
    return sorted(found, key=lambda item: -float(item["mean"]))


if __name__ == "__main__":
    main()
