"""The candidates for a model, each a scikit-learn Pipeline with its preprocessing inside."""

from __future__ import annotations

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sagemaker_jobs.propensity.model import AMOUNTS, CATEGORIES, HOUR, NUMBERS, WEEKDAY, Array

TRIVIAL = "trivial"
FOLDS = 5
RARE = 0.005  # categories rarer than this are taken together
ENOUGH_FOR_ISOTONIC = 1_000  # fewer rows of a class make isotonic regression overfit (Niculescu-Mizil 2005)


def candidates(seed: int) -> dict[str, Pipeline]:
    """Name the candidates: a constant, a line through transformed features, and trees."""
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.06, max_iter=150, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5, random_state=seed
    )
    return {
        TRIVIAL: make_pipeline(DummyClassifier(strategy="prior")),
        "logistic": make_pipeline(linear_features(), LogisticRegression(C=0.1, max_iter=1_000, random_state=seed)),
        "boosting": make_pipeline(tree_features(), boosting),
    }


def linear_features() -> ColumnTransformer:
    """Prepare features for a line: amounts as they are and by order of magnitude, the clock as a circle."""
    magnitudes = make_union(as_floats(), make_pipeline(as_floats(), FunctionTransformer(np.log1p)))
    amounts = make_pipeline(magnitudes, SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    clock = make_pipeline(as_floats(), FunctionTransformer(on_the_clock))
    return ColumnTransformer(
        [
            ("categories", one_hot(), [*CATEGORIES]),
            ("weekday", one_hot(), [WEEKDAY]),
            ("hour", clock, [HOUR]),
            ("amounts", amounts, [*AMOUNTS]),
        ]
    )


def tree_features() -> ColumnTransformer:
    """Prepare features for trees, which take numbers as they are, also when they are unknown."""
    return ColumnTransformer([("categories", one_hot(), [*CATEGORIES]), ("numbers", as_floats(), [*NUMBERS])])


def one_hot() -> OneHotEncoder:
    """Mark each category; rare ones, and those never seen in training, share a mark."""
    return OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE, sparse_output=False)


def as_floats() -> FunctionTransformer:
    """Turn objects into floats."""
    return FunctionTransformer(np.asarray, kw_args={"dtype": float})


def on_the_clock(hours: Array) -> Array:
    """Place hours (rows, 1) on a circle, so that 23 is beside 0: (rows, 2)."""
    turns = 2 * np.pi * hours / 24
    return np.hstack([np.sin(turns), np.cos(turns)])


def cross_validated_log_loss(model: Pipeline, matrix: Array, labels: Array, users: Array, seed: int) -> float:
    """Average the log loss over folds that no user is in two of."""
    folds = GroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    return float(-cross_val_score(model, matrix, labels, groups=users, cv=folds, scoring="neg_log_loss").mean())


def calibrated(model: Pipeline, matrix: Array, labels: Array) -> CalibratedClassifierCV:
    """Calibrate a fitted model on rows that it has not seen: sigmoid (Platt 1999), or isotonic if they are many."""
    method = "isotonic" if min(labels.sum(), (1 - labels).sum()) >= ENOUGH_FOR_ISOTONIC else "sigmoid"
    return CalibratedClassifierCV(FrozenEstimator(model), method=method).fit(matrix, labels)
