"""Bandit policies: how often each arm should be chosen, given what it has earned; one file a family."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domain.experiment.policies.epsilon_greedy import EpsilonGreedy
    from domain.experiment.policies.linear import LinThompson, LinUCB
    from domain.experiment.policies.policy import InvalidPolicy, Policy
    from domain.experiment.policies.thompson import BetaThompson, NormalThompson, TopTwoThompson
    from domain.experiment.policies.upper import KLUCB, UCB1

__all__ = [
    "KLUCB",
    "UCB1",
    "BetaThompson",
    "EpsilonGreedy",
    "InvalidPolicy",
    "LinThompson",
    "LinUCB",
    "NormalThompson",
    "Policy",
    "TopTwoThompson",
]

PLACES = {
    "epsilon_greedy": ("EpsilonGreedy",),
    "linear": ("LinThompson", "LinUCB"),
    "policy": ("InvalidPolicy", "Policy"),
    "thompson": ("BetaThompson", "NormalThompson", "TopTwoThompson"),
    "upper": ("KLUCB", "UCB1"),
}


def __getattr__(name: str) -> Any:
    """Import a policy's module when it is named (PEP 562): whoever decides waits for those alone that are declared."""
    for place, policies in PLACES.items():
        if name in policies:
            return getattr(import_module(f"{__name__}.{place}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
