from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from domain.experiment.bayesian.belief import Beta, Normal
from domain.experiment.bayesian.compare import probabilities_of_best
from domain.experiment.policies import (
    KLUCB,
    UCB1,
    BetaThompson,
    EpsilonGreedy,
    InvalidPolicy,
    LinThompson,
    LinUCB,
    NormalThompson,
    Policy,
    TopTwoThompson,
)
from domain.experiment.policies.best import best_of_normals
from domain.experiment.policies.policy import Tally, draw, with_floor, without
from domain.experiment.policies.thompson import beta
from domain.experiment.policies.upper import divergence

SEED = 20260301
POLICIES: tuple[Policy, ...] = (EpsilonGreedy(), UCB1(), KLUCB(), BetaThompson(), NormalThompson(), TopTwoThompson())
TALLIES = (Tally(40, 12, 12), Tally(25, 10, 10), Tally(60, 12, 12), Tally(5, 2, 2))


@st.composite
def tallies(draw: Any) -> list[Tally]:
    pulls = draw(st.lists(st.integers(0, 100_000), min_size=2, max_size=10))
    return [Tally(pull, hits := draw(st.integers(0, pull)), hits) for pull in pulls]


def rounds(arms: list[float], policy: Policy, length: int, batch: int, chance: random.Random) -> float:
    """The regret of a policy whose state is refreshed every `batch` decisions."""
    state, regret = [Tally()] * len(arms), 0.0
    for _ in range(length // batch):
        weights, earned = policy.weights(state), list(state)
        for _ in range(batch):
            arm = draw(weights, chance.random())
            earned[arm] = earned[arm].rewarded(float(chance.random() < arms[arm]))
            regret += max(arms) - arms[arm]
        state = earned
    return regret


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@settings(deadline=None, max_examples=30)
@given(state=tallies())
def test_weights_are_probabilities(policy: Policy, state: list[Tally]) -> None:
    weights = policy.weights(state)

    assert len(weights) == len(state)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-9)
    assert all(0 <= weight <= 1 for weight in weights)


@pytest.mark.parametrize(
    ("a", "b"), [(1, 1), (1, 5), (5, 1), (1 + 1e-9, 3), (1.2, 1.1), (1.5, 30), (30, 1.5), (200, 3_000), (1e8, 2e8)]
)
def test_posterior_draws_are_those_of_the_beta_distribution(a: float, b: float) -> None:
    """20,000 draws each from a stated seed, Kolmogorov and Smirnov's distance below its 99.99th percentile."""
    chance = random.Random(SEED)
    drawn = [beta(a, b, chance.random) for _ in range(20_000)]

    assert stats.kstest(drawn, stats.beta(a, b).cdf).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_arms_are_chosen_as_often_as_the_weights_say(policy: Policy) -> None:
    """A weight that is logged as a propensity must be one: 2,000 choices, chi-square below its 99.9th percentile."""
    chance, draws = random.Random(SEED), 2_000
    weights = policy.weights(TALLIES)
    found = np.bincount([policy.choose(TALLIES, chance) for _ in range(draws)], minlength=4)
    statistic = sum(
        (count - weight * draws) ** 2 / (weight * draws)
        for count, weight in zip(found, weights, strict=True)
        if weight > 1e-4
    )

    assert statistic < 16.3


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_before_any_reward_all_arms_are_alike(policy: Policy) -> None:
    assert policy.weights([Tally()] * 5) == pytest.approx([0.2] * 5, abs=1e-9)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_no_policy_equals_uniform_choice_when_refreshed_every_thousand_decisions(policy: Policy) -> None:
    """Five runs of 5,000 decisions; uniform choice loses 5,000 · 0.26."""
    lost = [rounds([0.1, 0.5, 0.3, 0.2, 0.1], policy, 5_000, 1_000, random.Random(SEED + run)) for run in range(5)]

    assert np.mean(lost) < 0.65 * 5_000 * 0.26


@settings(deadline=None, max_examples=50)
@given(state=tallies())
def test_thompson_s_weights_are_those_by_special_functions(state: list[Tally]) -> None:
    wanted = probabilities_of_best([Beta(1 + tally.total, 1 + tally.pulls - tally.total) for tally in state])

    assert BetaThompson().weights(state) == pytest.approx(wanted, abs=1e-8)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(1e-3, 100)), min_size=2, max_size=8))
def test_weights_of_normals_are_those_by_special_functions(posteriors: list[tuple[float, float]]) -> None:
    means, deviations = np.array(posteriors).T

    assert best_of_normals(means, deviations) == pytest.approx(
        probabilities_of_best([Normal(mean, deviation) for mean, deviation in posteriors]), abs=1e-8
    )


def test_top_two_gives_the_best_its_half_and_the_next_most_of_the_rest() -> None:
    """A peer ranks the wrong two columns: the best arm gets 0.008 there, the worst 0.5."""
    weights = TopTwoThompson().weights([Tally(1_000, 500), Tally(1_000, 450), Tally(1_000, 100)])

    assert weights[0] == pytest.approx(0.5, abs=0.02)
    assert weights[1] > 0.45
    assert weights[2] < 1e-6


def test_top_two_of_two_arms_gives_each_a_half() -> None:
    assert TopTwoThompson().weights([Tally(10, 9), Tally(10, 1)]) == pytest.approx([0.5, 0.5], abs=1e-9)


def test_ucb_shares_a_batch_as_the_index_would_choose_one_at_a_time() -> None:
    """Were the means to stay: against the deterministic index played decision by decision."""
    state = [Tally(100, 40), Tally(80, 24), Tally(20, 5)]
    horizon = math.log(200 + 1_000)
    pulls = [tally.pulls for tally in state]
    for _ in range(1_000):
        index = [tally.mean + math.sqrt(2 * horizon / pull) for tally, pull in zip(state, pulls, strict=True)]
        pulls[index.index(max(index))] += 1
    wanted = [(pull - tally.pulls) / 1_000 for tally, pull in zip(state, pulls, strict=True)]

    assert UCB1(batch=1_000).weights(state) == pytest.approx(wanted, abs=2e-3)


@given(st.floats(0, 1), st.floats(0, 1))
def test_divergence_is_nought_below_the_mean_and_grows_above(mean: float, other: float) -> None:
    assert divergence(mean, other) >= 0
    assert (divergence(mean, other) == 0) == (other <= mean) or abs(mean - other) < 1e-7


def test_a_floor_explores_every_arm_and_keeps_the_sum() -> None:
    assert with_floor((1.0, 0.0, 0.0), 0.05) == pytest.approx((0.9, 0.05, 0.05))
    with pytest.raises(InvalidPolicy, match=r"floor is 0\.4 for 3 arms; give at most 0\.3333"):
        with_floor((1.0, 0.0, 0.0), 0.4)


def test_a_frozen_arm_gets_nobody() -> None:
    assert without((0.5, 0.25, 0.25), {0}) == (0.0, 0.5, 0.5)
    with pytest.raises(InvalidPolicy, match="every arm with a share is frozen"):
        without((0.5, 0.5, 0.0), {0, 1})


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(lambda weights: sum(weights) > 0),
    st.floats(0, 1, exclude_max=True),
)
def test_a_place_without_a_share_is_never_drawn(weights: list[float], uniform: float) -> None:
    shares = [weight / sum(weights) for weight in weights]

    assert shares[draw(shares, uniform)] > 0


def test_a_tally_knows_mean_and_squares_and_forgets_by_a_factor() -> None:
    tally = Tally().rewarded(1.0).rewarded(0.5)

    assert tally == Tally(2, 1.5, 1.25)
    assert tally.discounted(0.5) == Tally(1, 0.75, 0.625)
    assert tally.discounted(0.5).mean == tally.mean == 0.75


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EpsilonGreedy(1.5), "EpsilonGreedy.epsilon is 1.5"),
        (lambda: UCB1(batch=0), "UCB1.batch is 0"),
        (lambda: UCB1(width=math.nan), "UCB1.width is nan"),
        (lambda: KLUCB(batch=-1), "KLUCB.batch is -1"),
        (lambda: BetaThompson(successes=0), "BetaThompson.successes is 0"),
        (lambda: NormalThompson(noise=0), "NormalThompson.noise is 0"),
        (lambda: TopTwoThompson(leader=0), "TopTwoThompson.leader is 0"),
    ],
)
def test_what_cannot_choose_is_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidPolicy, match=said):
        make()


@pytest.mark.parametrize("wrong", [None, "0.5", math.nan, math.inf, -1, True, 10**400, [], b"x"], ids=str)
@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (EpsilonGreedy, "epsilon"),
        (UCB1, "batch"),
        (UCB1, "width"),
        (KLUCB, "batch"),
        (BetaThompson, "successes"),
        (NormalThompson, "deviation"),
        (TopTwoThompson, "leader"),
        (TopTwoThompson, "base"),
        (LinUCB, "epsilon"),
        (LinUCB, "ridge"),
        (LinThompson, "noise"),
    ],
)
def test_a_parameter_that_is_no_number_of_its_range_is_refused_by_name(policy: Any, field: str, wrong: Any) -> None:
    with pytest.raises(InvalidPolicy, match=rf"{policy.__name__}\.{field} is .*; give"):
        policy(**{field: wrong})


@pytest.mark.slow
def test_discounting_finds_an_arm_that_became_the_best() -> None:
    """Rewards turn at half time; ten runs. The undiscounted policy goes on with the old best arm."""

    def lost(factor: float, seed: int) -> float:
        chance, state, regret = random.Random(seed), [Tally(), Tally()], 0.0
        for decision in range(4_000):
            arms = (0.7, 0.3) if decision < 2_000 else (0.3, 0.7)
            arm = BetaThompson().choose(state, chance)
            state = [tally.discounted(factor) for tally in state]
            state[arm] = state[arm].rewarded(float(chance.random() < arms[arm]))
            regret += 0.7 - arms[arm]
        return regret

    plain, forgetting = ([lost(factor, SEED + run) for run in range(10)] for factor in (1.0, 0.99))
    assert np.mean(forgetting) < 0.6 * np.mean(plain)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_an_arm_that_came_later_is_tried(policy: Policy) -> None:
    """A peer never tries an arm that it did not know at first; another divides by its nought."""
    tallies = [Tally(1_000, 500, 500), Tally(1_000, 400, 400), Tally()]
    assert policy.weights(tallies)[2] * 1_000 > 5  # of a batch
    assert policy.choose(tallies, random.Random(SEED)) in range(3)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_more_reward_than_choices_makes_no_policy_fail(policy: Policy) -> None:
    """A peer's Thompson raises where rewards of several to a choice sum to more than there were choices."""
    weights = policy.weights([Tally(3, 5, 9), Tally(10, 4, 4)])
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    assert policy.choose([Tally(3, 5, 9), Tally(10, 4, 4)], random.Random(SEED)) in range(2)
