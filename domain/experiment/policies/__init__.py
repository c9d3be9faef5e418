"""Bandit policies: how often each arm should be chosen, given what it has earned; one file a family."""

from __future__ import annotations

from domain.experiment.policies.epsilon_greedy import EpsilonGreedy
from domain.experiment.policies.policy import InvalidPolicy, Policy
from domain.experiment.policies.thompson import BetaThompson, NormalThompson, TopTwoThompson
from domain.experiment.policies.upper import KLUCB, UCB1

__all__ = [
    "KLUCB",
    "UCB1",
    "BetaThompson",
    "EpsilonGreedy",
    "InvalidPolicy",
    "NormalThompson",
    "Policy",
    "TopTwoThompson",
]
