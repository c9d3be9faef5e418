"""A policy valued on another one's log is worth what it then earns."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from domain.experiment import features as declared
from domain.experiment.declaration import Arm, Experiment, Kind, Outcome
from domain.experiment.features import MILLION, Number
from domain.experiment.ope import InvalidLog
from domain.experiment.policies import BetaThompson
from domain.experiment.policies.linear import LinThompson, LinUCB
from domain.experiment.valuing import Decided, Verdict, value

START = datetime(2026, 3, 1, tzinfo=timezone.utc)
SEED = 20260301
MEANS = {"a": 0.2, "b": 0.5, "c": 0.3}
PLAIN = Experiment(
    name="plain",
    arms=tuple(Arm(name=name) for name in MEANS),
    control="a",
    primary=Outcome(name="carts", event="add_to_cart", kind=Kind.COUNT),
    policy=BetaThompson(),
)
BY_AGE = replace(PLAIN, policy=LinThompson(noise=0.2), features=(Number(key="age", low=0, high=100),))


def plain_log(count: int, seed: int = SEED, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> list[Decided]:
    chance, found = random.Random(seed), []
    for number in range(count):
        arm = chance.choices(list(MEANS), shares)[0]
        reward = float(chance.random() < MEANS[arm])
        at = START + timedelta(minutes=number)
        found.append(Decided(f"u-{number}", arm, shares["abc".index(arm)], at, reward))
    return found


def by_age(arm: str, age: float) -> float:
    """The young like a, the old like b, and c pleases all a little."""
    return {"a": 1 - age, "b": age, "c": 0.4}[arm]


def log_by_age(count: int, seed: int = SEED) -> list[Decided]:
    chance, found, name = random.Random(seed), [], declared.fingerprint(BY_AGE.features)
    for number in range(count):
        age, arm = round(chance.random(), 6), chance.choice("abc")
        reward = float(chance.random() < by_age(arm, age))
        at = START + timedelta(minutes=number)
        found.append(Decided(f"u-{number}", arm, 1 / 3, at, reward, name, (MILLION, round(age * MILLION))))
    return found


def test_each_arm_s_value_is_its_mean_reward() -> None:
    """By every estimator, within four of its standard errors."""
    values = value(PLAIN, plain_log(8_000)).values

    for arm, mean in MEANS.items():
        for kind, found in values[f"always {arm}"].items():
            assert found.estimate == pytest.approx(mean, abs=4 * found.standard_error), (arm, kind)


def test_a_bandit_that_finds_the_best_arm_is_shown_to_be_better_and_worth_that_arm() -> None:
    found = value(PLAIN, plain_log(8_000))

    assert found.verdict is Verdict.BETTER
    assert found.policy == "BetaThompson"
    assert found.values["BetaThompson"]["DR"].estimate == pytest.approx(0.5, abs=0.05)
    assert found.gain.estimate == pytest.approx(0.5 - 0.31, abs=4 * found.gain.standard_error)


@pytest.mark.slow
def test_a_policy_by_context_is_worth_what_it_then_earns() -> None:
    """The best arm at an age earns max(age, 1 - age) there, 0.75 on average; no arm alone earns over a half."""
    found = value(BY_AGE, log_by_age(6_000))

    trusted = found.values["LinThompson"]["DR"]
    assert trusted.low > 0.6
    assert trusted.estimate == pytest.approx(0.74, abs=0.04)
    assert found.verdict is Verdict.BETTER
    assert max(found.values[f"always {arm}"]["DR"].estimate for arm in MEANS) < 0.56


def test_shares_that_favour_the_worst_arm_are_shown_to_be_worse() -> None:
    worse = replace(PLAIN, policy=None, arms=(Arm(name="a", weight=98), Arm(name="b"), Arm(name="c")))

    found = value(worse, plain_log(8_000, shares=(1 / 3, 1 / 3, 1 / 3)))

    assert (found.policy, found.verdict) == ("declared shares", Verdict.WORSE)


def test_what_the_log_hardly_ever_did_is_not_known() -> None:
    shy = replace(PLAIN, policy=None, arms=(Arm(name="a"), Arm(name="b", weight=999), Arm(name="c")))

    found = value(shy, plain_log(400, shares=(0.49, 0.02, 0.49)))

    assert found.verdict is Verdict.UNKNOWN


@pytest.mark.slow
def test_intervals_hold_the_gain_as_often_as_they_say() -> None:
    """200 logs of shares that are worth 0.3667; 95 % and four binomial standard errors."""
    even = replace(PLAIN, policy=None)
    truth = sum(MEANS.values()) / 3 - sum(
        share * mean for share, mean in zip((0.5, 0.3, 0.2), MEANS.values(), strict=True)
    )
    found = [value(even, plain_log(600, seed)).gain for seed in range(200)]

    held = sum(each.low <= truth <= each.high for each in found) / 200
    assert abs(held - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 200)


def test_a_log_that_is_too_short_is_refused() -> None:
    with pytest.raises(InvalidLog, match="the log has 100 decisions with a reward; give at least 200"):
        value(PLAIN, plain_log(100))


def test_a_log_without_the_features_is_refused_and_says_how_many_lack_them() -> None:
    log = log_by_age(300)
    log[7] = replace(log[7], fingerprint="", features=())

    with pytest.raises(InvalidLog, match="1 of 300 decisions were made without the features that experiment 'plain'"):
        value(replace(BY_AGE, policy=LinUCB()), log)
