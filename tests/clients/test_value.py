"""`make value` joins exposures and rewards in the lake, and contexts from the table of decisions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest

from clients.readout.value import main
from domain.experiment.declaration import Arm, Experiment
from domain.experiment.features import MILLION, Number, fingerprint, written
from domain.experiment.policies import BetaThompson
from domain.experiment.policies.linear import LinThompson
from domain.experiments import CARTS, EXPERIMENTS
from local.cloud import Cloud
from tests.clients.curated import curated
from tests.lambdas.experiment.conftest import make_table

SEED = 20260301
BUCKET = "test-value"
START = datetime(2026, 3, 1, tzinfo=timezone.utc)
AGE = Number(key="age", low=0, high=1)
OFFER = Experiment(
    name="offer",
    arms=(Arm(name="plain"), Arm(name="bold")),
    control="plain",
    primary=CARTS,
    policy=BetaThompson(),
    layer="offer",
)
BY_AGE = replace(OFFER, policy=LinThompson(noise=0.2), features=(AGE,))
UNITS = 700


def any_rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, float]]:
    """Show the young and the old either arm by chance: bold is for the young; a tenth have not answered yet."""
    chance, exposures, rewards, ages = random.Random(SEED), list[dict[str, Any]](), list[dict[str, Any]](), {}
    for number in range(UNITS):
        unit, age, at = f"u-{number}", round(chance.random(), 6), START + timedelta(minutes=number)
        arm = chance.choice(("plain", "bold"))
        said = {"user_id": unit, "experiment": "offer", "arm": arm, "event_time": at, "version": 1}
        said |= {"arrived_at": at, "shard": "s", "sequence": "0"}
        exposures.append({**said, "event_id": f"x-{number}", "propensity": 0.5})
        likes = chance.random() < (1 - age if arm == "bold" else age)
        if chance.random() > 0.1:
            rewards.append({**said, "event_id": f"r-{number}", "value": float(likes)})
        ages[unit] = age
    return exposures, rewards, ages


@pytest.fixture(scope="module")
def lake(cloud: Cloud) -> Iterator[None]:
    """Exposures and rewards in the lake, and half of what chose for them in the table of decisions."""
    exposures, rewards, ages = any_rows()
    dynamodb = cloud.client("dynamodb")
    make_table(dynamodb, "rivermill-decisions", "unit")
    name = fingerprint(BY_AGE.features)
    items = [
        {
            "unit": {"S": unit},
            "item": {"S": "decision/offer"},
            "features": {"S": written(name, (MILLION, round(age * MILLION)))},
        }
        for unit, age in ages.items()
    ]
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={"rivermill-decisions": requests})
    with curated(cloud, BUCKET, {"exposure": exposures, "reward": rewards}):
        yield
    dynamodb.delete_table(TableName="rivermill-decisions")


@pytest.fixture(autouse=True)
def account(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setitem(EXPERIMENTS, OFFER.name, OFFER)


@pytest.mark.slow
def test_a_policy_by_context_is_valued_before_it_goes_live(
    lake: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(EXPERIMENTS, OFFER.name, BY_AGE)

    assert main(["--experiment", "offer"]) == 0

    said = capsys.readouterr().out
    assert said.startswith("offer: LinThompson is better than what was done")
    assert "always bold" in said
    assert "switch DR" in said


@pytest.mark.slow
def test_no_reward_yet_is_left_out_unless_it_is_said_to_be_a_nought(
    lake: None, capsys: pytest.CaptureFixture[str]
) -> None:
    exposures, rewards, _ = any_rows()

    main(["--experiment", "offer"])
    left_out = capsys.readouterr().out
    main(["--experiment", "offer", "--unrewarded", "nought"])
    nought = capsys.readouterr().out

    assert f"valued on {len(rewards) - len(rewards) // 2:,} decisions" in left_out
    assert f"valued on {len(exposures) - len(exposures) // 2:,} decisions" in nought


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--experiment", "none"], "is not declared"),
        (["--experiment", "ranking"], "the log has 0 decisions with a reward"),
    ],
)
def test_what_cannot_be_valued_is_said(
    lake: None, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    assert said in capsys.readouterr().err
