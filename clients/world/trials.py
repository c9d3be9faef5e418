"""Tell what each arm of an experiment truly does, by letting the same shoppers live with it and without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clients.world import sessions
from clients.world.columns import take
from clients.world.nature import Nature
from clients.world.plan import Plan
from clients.world.shoppers import pulls
from clients.world.visits import Bools


@dataclass(frozen=True, slots=True)
class Effect:
    """What an arm does to the share of exposed shoppers who buy after their exposure, with the control and with it.

    Both shares are of all the world's exposed shoppers, whose luck is the same in both lives: the difference is caused
    by the arm alone.  `pull` is what was planted, in log odds of a session's purchase.
    """

    experiment: str
    arm: str
    pull: float
    shoppers: int
    control: float
    share: float

    @property
    def relative(self) -> float | None:
        """The effect as a share of the control's; None where nobody buys with the control."""
        return self.share / self.control - 1 if self.control else None


def effects(plan: Plan, nature: Nature, end: int) -> list[Effect]:
    """Tell the effect of every arm but the controls; the other experiments go on as they are."""
    told = []
    for place, trial in enumerate(nature.trials):
        names = [arm.name for arm in trial.experiment.arms]
        control = _buyers(plan, nature, end, place, names.index(trial.experiment.control))
        for number, arm in enumerate(names):
            if arm != trial.experiment.control:
                bought = _buyers(plan, nature, end, place, number)
                shares = (float(some.sum() / max(some.size, 1)) for some in (control, bought))
                told.append(Effect(trial.experiment.name, arm, trial.pull(arm), control.size, *shares))
    return told


def _buyers(plan: Plan, nature: Nature, end: int, trial: int, arm: int) -> Bools:
    """Say of each shopper who is exposed to a trial whether one would buy if all were given the same arm."""
    arms = plan.shoppers.arms.copy()
    arms[arms[:, trial] >= 0, trial] = arm
    shoppers = replace(plan.shoppers, arms=arms, pull=pulls(nature.trials, arms))
    order = np.argsort(plan.visits.shopper, kind="stable")
    visits, lived, _ = sessions.live(take(plan.visits, order), shoppers, plan.catalogue, end)
    first = np.full(len(shoppers.ids), np.iinfo(np.int64).max)
    shown = lived.shown > 0
    first[visits.shopper[shown]] = lived.start[shown]
    bought = np.zeros(first.size, dtype=bool)
    bought[visits.shopper[lived.purchased & (lived.start >= first[visits.shopper])]] = True
    exposed = np.zeros(first.size, dtype=bool)
    exposed[visits.shopper[shown]] = True
    return np.asarray(bought[exposed & (arms[:, trial] >= 0)])
