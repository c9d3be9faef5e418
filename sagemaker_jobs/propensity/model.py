"""The models that could say whether a session will end in a purchase."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from domain.tables import PROPENSITY_FEATURES

Array = npt.NDArray[Any]
Rows = Sequence[Mapping[str, Any]]

NAMES = tuple(column.name for column in PROPENSITY_FEATURES)
CATEGORIES = tuple(place for place, column in enumerate(PROPENSITY_FEATURES) if column.kind is str)
NUMBERS = tuple(place for place, column in enumerate(PROPENSITY_FEATURES) if column.kind is not str)
HOUR, WEEKDAY = NAMES.index("hour"), NAMES.index("weekday")
AMOUNTS = tuple(place for place in NUMBERS if place not in (HOUR, WEEKDAY))


class Classifier(Protocol):
    """What scikit-learn calls a classifier, as far as it matters here."""

    def predict_proba(self, matrix: Array) -> Array:
        """Give each row's chance of each class, (rows, 2)."""


@dataclass(frozen=True, slots=True)
class Logit:
    """A logistic regression with given weights, in plain JSON: what serves before anything has been learned."""

    intercept: float
    weights: Mapping[str, float]

    def predict_proba(self, matrix: Array) -> Array:
        """Give each row's chance of each class, (rows, 2); an unknown number weighs nothing."""
        logit = np.full(len(matrix), self.intercept)
        for name, weight in self.weights.items():
            logit += weight * np.nan_to_num(matrix[:, NAMES.index(name)].astype(float))
        chance = 1 / (1 + np.exp(-logit))
        return np.column_stack([1 - chance, chance])


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier with what is known of it."""

    classifier: Classifier
    metadata: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name the model after the run that made it."""
        return str(self.metadata["run"])

    def score(self, rows: Rows) -> list[float]:
        """Give each row's chance of a purchase."""
        return [float(chance) for chance in self.chances(matrix_of(rows))]

    def chances(self, matrix: Array) -> Array:
        """Give each row's chance of a purchase, (rows,), from features laid out by `matrix_of`."""
        return self.classifier.predict_proba(matrix)[:, 1]


def load(folder: Path) -> Model:
    """Load the model that lies in an unpacked `model.tar.gz`."""
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    written = folder / "model.json"
    if written.exists():
        return Model(Logit(**json.loads(written.read_text(encoding="utf-8"))), metadata)
    import joblib  # noqa: PLC0415  # the packaged baseline is served without scikit-learn

    return Model(joblib.load(folder / "model.joblib"), metadata)


def matrix_of(rows: Rows) -> Array:
    """Lay features out as objects (rows, features): text, "" where unknown; floats, NaN where unknown."""
    matrix = np.empty((len(rows), len(NAMES)), dtype=object)
    for place, column in enumerate(PROPENSITY_FEATURES):
        values = [row[column.name] for row in rows]
        if column.kind is str:
            matrix[:, place] = ["" if value is None else value for value in values]
        else:
            matrix[:, place] = np.array([np.nan if value is None else value for value in values], dtype=float)
    return matrix
