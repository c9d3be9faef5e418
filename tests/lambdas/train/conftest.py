from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from moto import mock_aws

from lambdas.train import plan, register
from lambdas.train.settings import PlanSettings, RegisterSettings
from tests.lambdas.train.registry import BASELINE, BUCKET, GROUP, make_lake_and_registry

PLAN = PlanSettings(bucket=BUCKET, model_package_group=GROUP, baseline_model=BASELINE)
REGISTER = RegisterSettings(
    model_package_group=GROUP, image="image", environment=json.dumps({"A": "b"}), instance_type="ml.m5.large"
)


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the functions an empty lake and registry, and their settings as the stack writes them."""
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**credentials, **PLAN.write(), **REGISTER.write()}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    cached = (plan.settings, plan.client, register.settings, register.client)
    for found in cached:
        found.cache_clear()
    with mock_aws():
        make_lake_and_registry()
        yield
    for found in cached:
        found.cache_clear()
