"""Value a policy on the decisions that another one logged, before it goes live."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

FEWEST_EFFECTIVE = 30.0  # decisions; a mean of fewer is not near normal


class InvalidLog(ValueError):
    """A log that no policy can be valued on; the message says what is wrong and where."""


def check_choices(chosen: NDArray[np.int64], arms: int) -> None:
    """Raise InvalidLog for a choice that is no arm; numpy would count a negative one from the end."""
    if not ((chosen >= 0) & (chosen < arms)).all():
        place = int(np.argmin((chosen >= 0) & (chosen < arms)))
        raise InvalidLog(f"choice {place} is arm {chosen[place]}; there are arms 0 to {arms - 1}")


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """What was decided: chosen arms, their propensities and rewards, each (n,), and the new policy's shares (n, k).

    `predicted` (n, k) is a model's reward for each arm, made on other decisions than these, for the estimators that
    take one.
    """

    chosen: NDArray[np.int64]
    propensities: Vector
    rewards: Vector
    target: Matrix
    predicted: Matrix | None = None

    def __post_init__(self) -> None:
        if not len(self.rewards):
            raise InvalidLog("the log has no decisions")
        self._check_shapes()
        if not ((self.propensities > 0) & (self.propensities <= 1)).all():
            place = int(np.argmin((self.propensities > 0) & (self.propensities <= 1)))
            raise InvalidLog(
                f"propensity {place} is {self.propensities[place]}; a logged choice had one above 0, at most 1"
            )
        if not np.isfinite(self.rewards).all():
            raise InvalidLog(
                f"reward {int(np.argmin(np.isfinite(self.rewards)))} is not finite; leave such decisions out"
            )
        if not ((self.target >= 0).all() and np.allclose(self.target.sum(axis=1), 1.0, atol=1e-6)):
            raise InvalidLog("the new policy's probabilities are not all above 0, or do not sum to one for a decision")

    def _check_shapes(self) -> None:
        count, arms = len(self.rewards), self.target.shape[-1]
        if self.chosen.shape != (count,) or self.propensities.shape != (count,) or self.target.shape != (count, arms):
            raise InvalidLog(
                f"{len(self.chosen)} choices, {len(self.propensities)} propensities, {count} rewards and "
                f"{len(self.target)} rows of probabilities; give one of each for a decision"
            )
        check_choices(self.chosen, arms)
        if self.predicted is not None and not (
            self.predicted.shape == (count, arms) and np.isfinite(self.predicted).all()
        ):
            raise InvalidLog(
                f"predicted has the shape {self.predicted.shape}; give a finite reward an arm and decision"
            )

    @property
    def ratios(self) -> Vector:
        """How much likelier the new policy is to choose what was chosen, (n,)."""
        with np.errstate(over="ignore"):  # an estimate of what no double holds is refused
            found: Vector = self.target[np.arange(len(self.rewards)), self.chosen] / self.propensities
        return found

    @property
    def model(self) -> Matrix:
        """The predicted rewards, or InvalidLog where there are none."""
        if self.predicted is None:
            raise InvalidLog("this estimator takes a model's predicted rewards: give `predicted`")
        return self.predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The new policy's mean reward with its interval, and whether the log overlaps with it enough to say so.

    `effective` is Kish's number of decisions that the ratios leave; `uncovered` is the share of the new policy's
    choices that the ratios miss: 1 - mean ratio, far from 0 where the log never did what the policy would.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    effective: float
    uncovered: float

    @property
    def has_overlap(self) -> bool:
        """Whether the log says enough about the new policy."""
        return self.effective >= FEWEST_EFFECTIVE and abs(self.uncovered) <= 4 * self._ratio_error

    @property
    def _ratio_error(self) -> float:
        return math.sqrt(1 / self.effective) if self.effective else math.inf


def inverse_propensity(log: Log, alpha: float = 0.05) -> Value:
    """Weigh each reward by its ratio: no bias at all, much variance (Horvitz and Thompson 1952)."""
    return _value(log, log.ratios * log.rewards, alpha)


def self_normalized(log: Log, alpha: float = 0.05) -> Value:
    """Divide by the ratios' own mean: less variance for a little bias (Swaminathan and Joachims 2015)."""
    ratios = log.ratios
    mean = ratios.mean()
    if not mean:
        raise InvalidLog("the new policy would never choose what was chosen; the log says nothing of it")
    estimate = float((ratios * log.rewards).mean() / mean)
    return _value(log, estimate + ratios * (log.rewards - estimate) / mean, alpha)


def direct(log: Log, alpha: float = 0.05) -> Value:
    """Average the model's rewards over the new policy: as biased as the model is."""
    return _value(log, (log.target * log.model).sum(axis=1), alpha)


def doubly_robust(log: Log, alpha: float = 0.05) -> Value:
    """Correct the model by the weighted errors it made: unbiased if either is right (Dudik, Langford and Li 2011)."""
    return _value(log, _corrected(log, log.ratios), alpha)


def switch_doubly_robust(log: Log, threshold: float = 10.0, alpha: float = 0.05) -> Value:
    """Trust the model alone where the ratio passes `threshold` (Wang, Agarwal and Dudik 2017)."""
    if not threshold >= 0:
        raise InvalidLog(f"threshold is {threshold}; give the ratio above which the model alone is trusted")
    ratios = log.ratios
    return _value(log, _corrected(log, np.where(ratios <= threshold, ratios, 0.0)), alpha)


def _corrected(log: Log, ratios: Vector) -> Vector:
    said = log.model[np.arange(len(log.rewards)), log.chosen]
    corrected: Vector = (log.target * log.model).sum(axis=1) + ratios * (log.rewards - said)
    return corrected


def _value(log: Log, terms: Vector, alpha: float) -> Value:
    ratios, count = log.ratios, len(terms)
    if count < 2:  # noqa: PLR2004 - a variance takes two
        raise InvalidLog("the log has 1 decision, and an interval takes two")
    if not 0 < alpha < 1:
        raise InvalidLog(f"alpha is {alpha}; give a probability between 0 and 1")
    with np.errstate(over="ignore", invalid="ignore"):
        estimate = float(terms.mean())
        error = float(terms.std(ddof=1) / math.sqrt(count))
        squares = float(ratios @ ratios)
    half = -float(ndtri(alpha / 2)) * error
    if not math.isfinite(estimate + half + squares):
        raise InvalidLog(f"the estimate is {estimate} and its standard error {error}, which no double holds")
    return Value(
        estimate=estimate,
        standard_error=error,
        low=estimate - half,
        high=estimate + half,
        effective=float(ratios.sum()) ** 2 / squares if squares else 0.0,
        uncovered=1 - float(ratios.mean()),
    )
