from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lambdas.train import plan, register
from lambdas.train.settings import PlanSettings, RegisterSettings
from local.cloud import Cloud
from tests.lambdas.train.registry import BASELINE, BUCKET, GROUP, empty, make_lake_and_registry

PLAN = PlanSettings(bucket=BUCKET, model_package_group=GROUP, baseline_model=BASELINE)
REGISTER = RegisterSettings(
    model_package_group=GROUP, image="image", environment=json.dumps({"A": "b"}), instance_type="ml.m5.large"
)


@pytest.fixture(autouse=True)
def lake_and_registry(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the functions an empty lake and registry, and their settings as the stack writes them."""
    for name, value in {**cloud.environment(), **PLAN.write(), **REGISTER.write()}.items():
        monkeypatch.setenv(name, value)
    cached = (plan.settings, plan.client, register.settings, register.client)
    for found in cached:
        found.cache_clear()
    make_lake_and_registry(cloud)
    yield
    empty(cloud)
    for found in cached:
        found.cache_clear()
