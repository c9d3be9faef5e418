"""Train candidates, choose one, calibrate it, and leave it with the code that serves it."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from domain.train import measures
from domain.train.gate import shortages
from sagemaker_jobs.propensity.candidates import TRIVIAL, calibrated, candidates, cross_validated_log_loss
from sagemaker_jobs.propensity.examples import Examples, counts, read_examples
from sagemaker_jobs.propensity.model import NAMES, matrix_of
from sagemaker_jobs.propensity.package import code, code_digest
from sagemaker_jobs.propensity.settings import TrainSettings


class UntrainableDataset(ValueError):
    """The dataset is too small or lacks a class."""


def main() -> None:
    """Train what the container was asked to train."""
    settings = TrainSettings.read()
    # Threads of one small fit wait for one another more than they work: where cores are shared, ten times slower.
    threadpool_limits(1)
    examples = read_examples(Path(settings.sm_channel_dataset))
    lacks = shortages(*counts(examples))
    if lacks:
        raise UntrainableDataset("; ".join(lacks))
    classifier, findings = train(examples, int(settings.sm_hp_seed))
    for name, value in findings["metrics"].items():
        print(f"{name}={value:.6f};")
    write(classifier, {**provenance(settings), **findings}, Path(settings.sm_model_dir))


def train(examples: dict[str, Examples], seed: int) -> tuple[Any, dict[str, Any]]:
    """Fit the candidate that cross-validates best and calibrate it; also say how all of them did."""
    learned, kept = examples["train"], examples["calibrate"]
    matrix = matrix_of(learned.rows)
    named = candidates(seed)
    losses = {
        name: cross_validated_log_loss(model, matrix, learned.labels, learned.users, seed)
        for name, model in named.items()
    }
    chosen = min(losses, key=lambda name: losses[name])
    fitted = named[chosen].fit(matrix, learned.labels)
    classifier = calibrated(fitted, matrix_of(kept.rows), kept.labels)
    rows, positives = counts(examples)
    return classifier, {
        "chosen": chosen,
        "candidates": losses,
        "trivial_log_loss": losses[TRIVIAL],
        "calibration": classifier.method,
        "metrics": {
            "train_rows": float(len(learned)),
            "cross_validated_log_loss": losses[chosen],
            **_after_calibration(classifier, kept),
        },
        "rows": rows,
        "positives": positives,
        "base_rate": float(learned.labels.mean()),
        "features": list(NAMES),
        "classes": ["left", "bought"],
        "seed": seed,
    }


def _after_calibration(classifier: Any, kept: Examples) -> dict[str, float]:
    scores, once = classifier.predict_proba(matrix_of(kept.rows))[:, 1], np.ones((1, len(kept)))
    return {
        "calibrated_log_loss": float(measures.log_loss(scores, kept.labels, once)[0]),
        "calibrated_auc": float(measures.auc(scores, kept.labels, once)[0]),
    }


def provenance(settings: TrainSettings) -> dict[str, Any]:
    """Say what the model was made from, and with what."""
    return {
        "run": settings.sm_hp_run,
        "day": settings.sm_hp_day,
        "table": settings.sm_hp_table,
        "snapshot": settings.sm_hp_snapshot,
        "code_digest": code_digest(),
        "libraries": {
            "python": platform.python_version(),
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "joblib": joblib.__version__,
        },
    }


def write(classifier: Any, metadata: dict[str, Any], folder: Path) -> None:
    """Write what becomes `model.tar.gz`: the classifier, what is known of it, and its serving code."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(classifier, folder / "model.joblib", compress=3)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=1), encoding="utf-8")
    for name, content in code().items():
        path = folder / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
