"""The people of the simulated world: where they live, what they like, what they hold in their hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.world.catalogue import CATEGORIES
from clients.world.nature import COUNTRIES, Nature, Trial
from domain.events import DEVICES
from domain.experiment.decision import decide

DEVICE_SHARES = (0.40, 0.50, 0.10)  # in the order of DEVICES


@dataclass(frozen=True, slots=True)
class Shoppers:
    """One row each: ids and arrays of equal length.

    `other_chance` is how often a shopper takes the second device; `pace` multiplies the time between clicks;
    `taste` is the hidden part of the wish to buy; `arms` (n, trials) the place of the arm that the platform's own hash
    gives the shopper in each of `nature.trials`, -1 for who is not part of it; `pull` what all of them do together.
    """

    ids: tuple[str, ...]
    country: NDArray[np.int64]
    favourite: NDArray[np.int64]
    device: NDArray[np.int64]
    other_device: NDArray[np.int64]
    other_chance: NDArray[np.float64]
    pace: NDArray[np.float64]
    taste: NDArray[np.float64]
    arms: NDArray[np.int64]
    pull: NDArray[np.float64]
    visits: NDArray[np.int64]

    @classmethod
    def draw(cls, random: np.random.Generator, count: int, nature: Nature) -> Shoppers:
        """Draw `count` shoppers."""
        shares = np.asarray([country.share for country in COUNTRIES])
        mean = nature.sessions_a_fortnight * nature.days / 14 - 1
        ids = tuple(f"u-{number:07d}" for number in range(count))
        arms = np.array([[_arm(trial, unit) for trial in nature.trials] for unit in ids])
        return cls(
            ids=ids,
            country=random.choice(len(COUNTRIES), count, p=shares),
            favourite=random.integers(0, len(CATEGORIES), count),
            device=random.choice(len(DEVICES), count, p=DEVICE_SHARES),
            other_device=random.choice(len(DEVICES), count, p=DEVICE_SHARES),
            other_chance=random.beta(1, 4, count),
            pace=random.lognormal(0.0, 0.3, count),
            taste=random.normal(0.0, nature.taste, count),
            arms=arms,
            pull=pulls(nature.trials, arms),
            visits=1 + random.poisson(random.gamma(1.2, mean / 1.2, count)),
        )


def _arm(trial: Trial, unit: str) -> int:
    decision = decide(trial.experiment, unit, {})
    names = [arm.name for arm in trial.experiment.arms]
    return names.index(decision.arm) if decision.decision_id else -1


def pulls(trials: Sequence[Trial], arms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum what the arms of each shopper do; the last pull of a trial is that of who is not part of it."""
    pull = np.zeros(arms.shape[0])
    for trial, column in zip(trials, arms.T, strict=True):
        pull += np.array([*(trial.pull(arm.name) for arm in trial.experiment.arms), 0.0])[column]
    return pull
