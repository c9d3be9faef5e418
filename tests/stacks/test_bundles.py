"""When a change of code moves the endpoint's model, and when it must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from aws_cdk import App, Stack

from domain.experiment.declaration import MAIN_VARIANT
from domain.tables import PROPENSITY_FEATURES
from sagemaker_jobs.propensity import package
from stacks import names
from stacks.constructs import bundles


def moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, str]:
    monkeypatch.setattr(bundles, "BUNDLES", tmp_path)
    stack = Stack(App(context={"aws:cdk:disable-asset-staging": True}), "Any")
    return bundles.source(stack).asset_hash, bundles.baseline(stack).asset_hash


def test_a_change_of_code_moves_the_source_and_leaves_the_endpoint_with_its_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = package.code()
    before = moved(monkeypatch, tmp_path)
    monkeypatch.setattr(package, "code", lambda: {**code, "domain/other.py": b"CHANGED = True\n"})
    after = moved(monkeypatch, tmp_path)

    assert after[0] != before[0]
    assert after[1] == before[1]


def test_another_guess_or_other_rows_move_the_baseline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = moved(monkeypatch, tmp_path)[1]
    monkeypatch.setattr(bundles, "BASELINE", {"intercept": -9.0, "weights": {}})
    guess = moved(monkeypatch, tmp_path)[1]
    monkeypatch.setattr(bundles, "PROPENSITY_FEATURES", PROPENSITY_FEATURES[1:])
    rows = moved(monkeypatch, tmp_path)[1]

    assert len({before, guess, rows}) == 3


def test_the_stack_and_the_pipeline_mean_the_same_variant() -> None:
    assert names.VARIANT == MAIN_VARIANT
