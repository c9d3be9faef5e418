"""Value what an experiment would do, and each of its arms, on decisions that were logged, before it goes live.

Policies learn from the earlier half of the log and are valued on the later one, so that none is valued on what it was
made of; so do the models of rewards that doubly robust estimates take.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from domain.experiment import contextual, evidence, learning
from domain.experiment import features as declared
from domain.experiment.declaration import Experiment
from domain.experiment.features import MILLION
from domain.experiment.learning import Count, counted
from domain.experiment.ope import (
    InvalidLog,
    Log,
    Matrix,
    Value,
    Vector,
    doubly_robust,
    inverse_propensity,
    self_normalized,
    switch_doubly_robust,
)
from domain.tables import CURATED


class Estimator(Protocol):
    """A way to value a policy on a log, at a level."""

    def __call__(self, log: Log, *, alpha: float) -> Value:
        """Value it."""


ESTIMATORS: Mapping[str, Estimator] = {
    "IPS": inverse_propensity,
    "SNIPS": self_normalized,
    "DR": doubly_robust,
    "switch DR": switch_doubly_robust,
}
TRUSTED = "DR"
"""The estimate that the verdict rests on: unbiased, since propensities are exact, and the tightest of those."""

FEWEST = 200
"""Decisions with a reward: half of them make a policy, half of them value it."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision of the log with its reward; a contextual policy's with its features' name and numbers."""

    unit: str
    arm: str
    propensity: float
    at: datetime
    reward: float
    fingerprint: str = ""
    features: tuple[int, ...] = ()


class Verdict(str, Enum):
    """What the log says of the declared policy beside what was done."""

    BETTER = "better than what was done"
    WORSE = "worse than what was done"
    OPEN = "not shown to be better or worse than what was done"
    UNKNOWN = "not known: the log hardly ever did what it would do"


@dataclass(frozen=True, slots=True, eq=False)
class Valued:
    """Values of what could be done, by name and estimator, beside the mean reward of what was done.

    `gain` is the declared policy's advantage by the trusted estimator, of the same decisions.
    """

    policy: str
    decisions: int
    done: Value
    values: Mapping[str, Mapping[str, Value]]
    gain: Value

    @property
    def verdict(self) -> Verdict:
        """Say whether the declared policy may go live."""
        if not self.values[self.policy][TRUSTED].has_overlap:
            return Verdict.UNKNOWN
        if self.gain.low > 0:
            return Verdict.BETTER
        return Verdict.WORSE if self.gain.high < 0 else Verdict.OPEN


def question(experiment: str, most: int) -> str:
    """Ask for the newest decisions of an experiment with the mean of their rewards, in Athena's SQL."""
    quoted = experiment.replace("'", "''")
    exposure, reward = CURATED["exposure"].full_name, CURATED["reward"].full_name
    return (
        "SELECT x.user_id AS unit, x.arm AS arm, min(x.propensity) AS propensity, min(x.event_time) AS at, "  # noqa: S608
        f"avg(r.value) AS reward FROM {exposure} x LEFT JOIN {reward} r "
        "ON r.user_id = x.user_id AND r.experiment = x.experiment AND r.arm = x.arm "
        f"WHERE x.experiment = '{quoted}' GROUP BY x.user_id, x.arm ORDER BY min(x.event_time) DESC LIMIT {most}"
    )


def value(experiment: Experiment, decided: Iterable[Decided], alpha: float = 0.05) -> Valued:
    """Value the declared policy, or the declared shares, and every arm; raise InvalidLog where the log cannot tell."""
    arms = [arm.name for arm in experiment.arms]
    known = sorted((each for each in decided if each.arm in arms), key=lambda each: (each.at, each.unit))
    if len(known) < FEWEST:
        raise InvalidLog(f"the log has {len(known)} decisions with a reward; give at least {FEWEST}")
    _check_features(experiment, known)
    before, after = known[: len(known) // 2], known[len(known) // 2 :]
    predicted = _predicted(experiment, before, after)
    policy = _name(experiment)
    targets = {policy: _declared(experiment, before, after)}
    targets |= {f"always {arm}": _always(arms.index(arm), len(after), len(arms)) for arm in arms}
    logs = {name: _log(arms, after, target, predicted) for name, target in targets.items()}
    rewards = logs[policy].rewards
    return Valued(
        policy=policy,
        decisions=len(after),
        done=_mean(rewards, alpha),
        values={
            name: {kind: estimate(log, alpha=alpha) for kind, estimate in ESTIMATORS.items()}
            for name, log in logs.items()
        },
        gain=_gain(logs[policy], alpha),
    )


def _name(experiment: Experiment) -> str:
    return type(experiment.policy).__name__ if experiment.policy is not None else "declared shares"


def _check_features(experiment: Experiment, known: Sequence[Decided]) -> None:
    if not experiment.is_contextual:
        return
    wanted = declared.fingerprint(experiment.features)
    without = sum(each.fingerprint != wanted for each in known)
    if without:
        raise InvalidLog(
            f"{without} of {len(known)} decisions were made without the features that experiment "
            f"{experiment.name!r} declares now: what it would have done for them is not known"
        )


def _declared(experiment: Experiment, before: Sequence[Decided], after: Sequence[Decided]) -> Matrix:
    """Return the shares with which the declared policy, having seen the earlier decisions, meets the later ones."""
    now, arms = before[-1].at, [arm.name for arm in experiment.arms]
    if experiment.is_contextual:
        known = contextual.learnt(experiment, _evidence(experiment, before), now)
        found = [contextual.shares(experiment, known, each.features) for each in after]
        return np.array([[shares.get(arm, 0.0) for arm in arms] for shares in found])
    shares = experiment.arm_to_share
    if experiment.policy is not None:
        shares = learning.shares(experiment, learning.tallies(experiment, _counts(experiment, before), now))
    return np.tile([shares[arm] for arm in arms], (len(after), 1))


def _counts(experiment: Experiment, before: Sequence[Decided]) -> Iterable[tuple[str, Mapping[str, Count]]]:
    return ((learning.bucket(experiment, each.at), {each.arm: counted(each.reward)}) for each in before)


def _evidence(
    experiment: Experiment, before: Sequence[Decided]
) -> Iterable[tuple[str, Mapping[str, evidence.Evidence]]]:
    for each in before:
        found = evidence.of(each.features, counted(each.reward).total)
        yield learning.bucket(experiment, each.at), {each.arm: found}


def _predicted(experiment: Experiment, before: Sequence[Decided], after: Sequence[Decided]) -> Matrix:
    """Predict each arm's reward for the later decisions from the earlier ones: its mean, or its regression."""
    arms = [arm.name for arm in experiment.arms]
    if experiment.is_contextual:
        known = contextual.learnt(experiment, _evidence(experiment, before), before[-1].at)
        contexts = np.array([each.features for each in after], dtype=float) / MILLION
        regressed: Matrix = contexts @ known.regressions.coefficients.T
        return regressed
    overall = math.fsum(each.reward for each in before) / len(before)
    rewards = {arm: [each.reward for each in before if each.arm == arm] for arm in arms}
    means = [math.fsum(found) / len(found) if found else overall for found in rewards.values()]
    return np.tile(means, (len(after), 1))


def _always(place: int, decisions: int, arms: int) -> Matrix:
    target = np.zeros((decisions, arms))
    target[:, place] = 1.0
    return target


def _log(arms: Sequence[str], after: Sequence[Decided], target: Matrix, predicted: Matrix) -> Log:
    return Log(
        chosen=np.array([arms.index(each.arm) for each in after]),
        propensities=np.array([each.propensity for each in after]),
        rewards=np.array([each.reward for each in after]),
        target=target,
        predicted=predicted,
    )


def _mean(terms: Vector, alpha: float) -> Value:
    """Return a mean with its interval; it overlaps with itself."""
    error = float(terms.std(ddof=1) / math.sqrt(len(terms)))
    half, mean = -float(ndtri(alpha / 2)) * error, float(terms.mean())
    return Value(
        estimate=mean,
        standard_error=error,
        low=mean - half,
        high=mean + half,
        effective=float(len(terms)),
        uncovered=0.0,
    )


def _gain(log: Log, alpha: float) -> Value:
    """Estimate the advantage over what was done decision by decision, so that what both share cancels."""
    said = log.model[np.arange(len(log.rewards)), log.chosen]
    robust = (log.target * log.model).sum(axis=1) + log.ratios * (log.rewards - said)
    return _mean(robust - log.rewards, alpha)
