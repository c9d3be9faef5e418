from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from domain.tables import PROPENSITY_FEATURES
from sagemaker_jobs.propensity.candidates import (
    ENOUGH_FOR_ISOTONIC,
    calibrated,
    candidates,
    cross_validated_log_loss,
)
from sagemaker_jobs.propensity.model import NAMES, Array, matrix_of
from tests.domain.serve.test_request import any_row
from tests.sagemaker_jobs.propensity.shoppers import any_examples


def any_matrix(users: int, seed: int = 7, lean: float = 1.0) -> tuple[Array, Array, Array]:
    table, _ = any_examples(users, seed, lean)
    rows = table.select([column.name for column in PROPENSITY_FEATURES]).to_pylist()
    return matrix_of(rows), table["purchased"].to_numpy(zero_copy_only=False).astype(int), np.array(table["user_id"])


def any_proud_model() -> Pipeline:
    """Make a model that multiplies the log odds: it ranks as well, and is wrong about how sure it is."""
    matrix, labels, _ = any_matrix(1_000, seed=1)
    model = candidates(7)["logistic"].fit(matrix, labels)
    model[-1].coef_ *= 2.5
    model[-1].intercept_ *= 2.5
    return model


@pytest.mark.parametrize("users", [300, 2_500], ids=["sigmoid", "isotonic"])
def test_calibration_mends_a_model_that_is_too_sure_of_itself(users: int) -> None:
    proud = any_proud_model()
    held, held_labels, _ = any_matrix(users, seed=2)
    fresh, fresh_labels, _ = any_matrix(1_000, seed=3)

    mended = calibrated(proud, held, held_labels)

    assert mended.method == ("isotonic" if held_labels.sum() >= ENOUGH_FOR_ISOTONIC else "sigmoid")
    before = log_loss(fresh_labels, proud.predict_proba(fresh)[:, 1])
    assert log_loss(fresh_labels, mended.predict_proba(fresh)[:, 1]) < before - 0.02


@pytest.mark.slow
def test_every_candidate_but_the_trivial_one_learns() -> None:
    matrix, labels, users = any_matrix(1_000)

    losses = {name: cross_validated_log_loss(model, matrix, labels, users, 7) for name, model in candidates(7).items()}

    share = labels.mean()
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert losses["trivial"] == pytest.approx(entropy, abs=0.003)
    assert losses["logistic"] < losses["trivial"] - 0.05
    assert losses["boosting"] < losses["trivial"] - 0.05


def test_folds_never_share_a_user() -> None:
    # Labels are the user's alone and nothing else tells them: who sees the same user in two folds would know.
    random = np.random.default_rng(7)
    matrix = matrix_of([any_row(mean_price=float(user)) for user in range(300) for _ in range(4)])
    labels, users = np.repeat(random.integers(0, 2, 300), 4), np.repeat(np.arange(300), 4)

    found = cross_validated_log_loss(candidates(7)["boosting"], matrix, labels, users, 7)

    assert found > 0.65  # a coin's is 0.693


@pytest.mark.parametrize("name", ["logistic", "boosting"])
def test_a_category_never_seen_and_values_never_known_are_scored(name: str) -> None:
    matrix, labels, _ = any_matrix(500)
    model = candidates(7)[name].fit(matrix, labels)
    strange = any_row(country="ZZ", device=None, mean_price=None, days_since_session=None, elapsed=0.0)

    chance = model.predict_proba(matrix_of([strange]))[0, 1]

    assert 0 < chance < 1


def test_features_are_laid_out_in_the_declared_order() -> None:
    row = any_row(device=None, mean_price=None, carts=4)

    (found,) = matrix_of([row])

    assert found[NAMES.index("device")] == ""
    assert np.isnan(found[NAMES.index("mean_price")])
    assert found[NAMES.index("carts")] == 4.0
    assert [type(value) for value in found] == [str if column.kind is str else float for column in PROPENSITY_FEATURES]
