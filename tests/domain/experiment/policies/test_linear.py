from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from domain.experiment.policies.linear import LinThompson, LinUCB
from domain.experiment.policies.policy import InvalidPolicy
from domain.experiment.policies.regressions import Regressions, as_context, nothing_learnt

SEED = 20260301


def learnt(arms: int = 3, features: int = 5, rewards: int = 200, ridge: float = 1.0) -> tuple[Regressions, list[Any]]:
    random = np.random.default_rng(SEED)
    found, seen = nothing_learnt(arms, features, ridge), []
    for _ in range(rewards):
        arm, context, reward = int(random.integers(arms)), random.normal(size=features), float(random.random())
        found.learn(arm, context, reward)
        seen.append((arm, context, reward))
    return found, seen


@pytest.mark.parametrize("ridge", [1.0, 10.0, 0.1])
def test_updates_of_rank_one_are_the_ridge_regression_of_all_rewards(ridge: float) -> None:
    """A peer starts its inverse at ridge·I instead of I/ridge."""
    found, seen = learnt(ridge=ridge)
    for arm in range(3):
        contexts = np.array([context for place, context, _ in seen if place == arm])
        rewards = np.array([reward for place, _, reward in seen if place == arm])
        inverse = np.linalg.inv(ridge * np.eye(5) + contexts.T @ contexts)

        assert found.inverse[arm] == pytest.approx(inverse, abs=1e-12)
        assert found.coefficients[arm] == pytest.approx(inverse @ contexts.T @ rewards, abs=1e-12)


def test_a_cold_arm_s_score_is_its_width_by_the_context_over_the_ridge() -> None:
    means, deviations = nothing_learnt(2, 4, ridge=10.0).scores(np.array([1.0, 0, 0, 0]))

    assert list(means) == [0, 0]
    assert deviations == pytest.approx([math.sqrt(0.1)] * 2)


@pytest.mark.parametrize("policy", [LinUCB(width=0.5, epsilon=0.2), LinThompson(noise=0.7)])
def test_arms_are_chosen_as_often_as_the_propensities_say(policy: LinUCB | LinThompson) -> None:
    found, _ = learnt(rewards=15)
    context, chance = np.array([0.5, -1.0, 0.3, 2.0, 0.1]), np.random.default_rng(SEED)
    chosen = np.bincount([policy.choose(found, context, chance) for _ in range(20_000)], minlength=3)
    propensities = policy.propensities(found, context)

    assert sum(propensities) == pytest.approx(1, abs=1e-9)
    assert chosen / 20_000 == pytest.approx(propensities, abs=5 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("policy", [LinUCB(width=0.3), LinThompson(noise=0.3)])
def test_the_arm_that_a_context_favours_is_learnt(policy: LinUCB | LinThompson) -> None:
    random, state = np.random.default_rng(SEED), nothing_learnt(2, 3)
    late = []
    for decision in range(1_500):
        context = np.array([1.0, random.normal(), random.normal()])
        arm, best = policy.choose(state, context, random), int(context[1] > 0)
        state.learn(arm, context, float(random.random() < (0.8 if arm == best else 0.2)))
        late += [arm == best] if decision >= 1_000 else []

    assert np.mean(late) > 0.85


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LinUCB(width=-1), "LinUCB.width is -1"),
        (lambda: LinUCB(epsilon=0), "LinUCB.epsilon is 0"),
        (lambda: LinThompson(noise=math.inf), "LinThompson.noise is inf"),
        (lambda: nothing_learnt(2, 2, 0), "ridge is 0"),
        (lambda: as_context([1.0, math.nan]), "context is"),
    ],
)
def test_what_cannot_choose_is_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        make()
