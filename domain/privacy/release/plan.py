"""Split a release's budget among its questions, set the scale of each noise, and foretell the error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from domain.privacy.release import accounting as losses
from domain.privacy.release.declaration import SUMMED, Accounting, Dataset, Kind, Question, RefusedRelease

SELECTING = 0.25
"""Share of a question's budget that finds its groups, where they are not public."""

BETA = 0.05
"""Errors are told as bounds that 95 of 100 answers keep."""

COUNTED = 0.1  # of BETA goes to the denominator of a mean
SLACK = 1 + 1e-9  # scales are larger by so much, that rounding never makes a loss larger than what is charged
DENOMINATORS = 1000  # of a quantile's level

LOSS_UNIT, DELTA_UNIT = 10**12, 10**18
"""Budgets are kept in whole numbers: floats would lose small charges beside large sums."""


@dataclass(frozen=True, slots=True)
class Part:
    """One noisy vector of whole numbers: by how much a subject moves it in one group, in how many, and the noise."""

    name: str
    bound: int
    groups: int
    loss: float
    scale: float
    delta: float = 0.0
    threshold: int = 0

    @property
    def l1(self) -> int:
        """By how much a subject moves it over all groups."""
        return self.bound * self.groups

    @property
    def l2(self) -> float:
        """The same, as the length of the move."""
        return self.bound * math.sqrt(self.groups)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a question will be answered: its noisy parts and what they cost together."""

    dataset: Dataset
    question: Question
    parts: tuple[Part, ...]
    loss: float
    delta: float

    def part(self, name: str) -> Part:
        """Return a part by its name."""
        return next(part for part in self.parts if part.name == name)


def total_loss(dataset: Dataset) -> float:
    """Say what all releases of a dataset may lose together, in rho or in epsilon."""
    return loss_of(dataset, dataset.epsilon)


def loss_of(dataset: Dataset, epsilon: float) -> float:
    """Turn an epsilon, at the half of delta that is not for finding groups, into the loss that adds up."""
    if dataset.accounting is Accounting.APPROXIMATE:
        return epsilon
    return losses.rho_of_epsilon(epsilon, dataset.delta / 2)


def epsilon_of(dataset: Dataset, loss: float) -> float:
    """Turn a loss back into the epsilon that a person types."""
    return loss if dataset.accounting is Accounting.APPROXIMATE else losses.epsilon_of_zcdp(loss, dataset.delta / 2)


def plans(dataset: Dataset, epsilon: float) -> tuple[Plan, ...]:
    """Plan a release of every question of a dataset that costs `epsilon` in all; refuse an epsilon that is none."""
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise RefusedRelease("epsilon", epsilon, "it is a finite number above 0")
    loss, whole = loss_of(dataset, epsilon), total_loss(dataset)
    if loss > whole:
        raise RefusedRelease("epsilon", epsilon, f"{dataset.name} may lose {dataset.epsilon:g} in all, ever")
    weights = sum(question.share for question in dataset.questions)
    return tuple(plan(dataset, question, loss * question.share / weights) for question in dataset.questions)


def plan(dataset: Dataset, question: Question, loss: float) -> Plan:
    """Plan the answer of one question at a loss.

    Delta goes with the loss: half of the dataset's is for finding groups, and the whole budget spends all of it.
    """
    loss = math.floor(loss * LOSS_UNIT) / LOSS_UNIT
    delta = dataset.delta / 2 * loss / total_loss(dataset) if question.selects else 0.0
    delta = math.floor(delta * DELTA_UNIT) / DELTA_UNIT
    if not loss or (question.selects and not delta):
        raise RefusedRelease(
            "epsilon", epsilon_of(dataset, loss), f"it leaves nothing for {question.name}: ask for more"
        )
    rest = loss * (1 - SELECTING) if question.selects else loss
    found = [_selecting(dataset, loss * SELECTING, delta)] if question.selects else []
    bounds = _bounds(question, dataset.rows_per_subject)
    groups = dataset.groups(question)
    found += [_part(dataset, name, bound, groups, rest / len(bounds)) for name, bound in bounds.items()]
    return Plan(dataset, question, tuple(found), loss, delta)


def level(question: Question) -> Fraction:
    """Write a quantile's level as a fraction of whole numbers."""
    return Fraction(str(question.quantile)).limit_denominator(DENOMINATORS)


def reach(question: Question) -> int:
    """Say how far a value may lie from where it is counted from, in steps: the middle, of a sum nought."""
    if question.kind is Kind.SUM:
        return math.ceil(max(abs(question.lower), abs(question.upper)) / question.step)
    return math.ceil((question.upper - question.lower) / 2 / question.step)


def half_square(question: Question) -> int:
    """Say from where squared distances are counted, so that they reach as far down as up."""
    return (reach(question) ** 2 + 1) // 2


def _bounds(question: Question, rows: int) -> dict[str, int]:
    """Say by how much a subject moves each part of a question in one group."""
    if question.kind is Kind.HISTOGRAM:
        return {"bins": rows}
    if question.kind is Kind.QUANTILE:
        fraction = level(question)
        return {"rank": rows * max(fraction.numerator, fraction.denominator - fraction.numerator)}
    found = {} if question.kind is Kind.SUM else {"count": rows}
    if question.kind in SUMMED:
        found["sum"] = rows * reach(question)
    if question.kind is Kind.VARIANCE:
        found["squares"] = rows * half_square(question)
    return found


def _part(dataset: Dataset, name: str, bound: int, groups: int, loss: float) -> Part:
    pure = dataset.accounting is Accounting.APPROXIMATE
    if name == "rank":  # a choice for each group, so the groups that a subject is in add up
        each = loss / groups
        scale = losses.choice_scale(bound, each if pure else losses.epsilon_of_choice(each))
    else:
        unit = Part(name, bound, groups, loss, 0.0)
        scale = losses.laplace_scale(unit.l1, loss) if pure else losses.gaussian_scale(unit.l2, loss)
    return Part(name, bound, groups, loss, scale * SLACK)


def _selecting(dataset: Dataset, loss: float, delta: float) -> Part:
    """Plan the noisy count of subjects of each group, of which those above a threshold are shown.

    A group with a single subject must pass with a probability of `delta` at most, over all groups that one subject
    is in (Rogers 2023, Korolova et al. 2009).
    """
    groups = dataset.groups_per_subject
    if dataset.accounting is Accounting.APPROXIMATE:
        scale = losses.laplace_scale(groups, loss) * SLACK
        tail = scale * math.log(groups / delta)
    else:
        scale = losses.gaussian_scale(math.sqrt(groups), loss) * SLACK
        tail = scale * -losses.NORMAL.inv_cdf(delta / groups)
    return Part("subjects", 1, groups, loss, scale, delta, math.ceil(tail) + 2)


def noise_bound(accounting: Accounting, scale: float, beta: float = BETA) -> int:
    """Say how large noise on a whole number is at most, but for a share `beta` of cases.

    The discrete Gaussian's tail lies below the continuous one's a step nearer (Canonne, Kamath, Steinke 2020);
    the discrete Laplace's is geometric.

    >>> noise_bound(Accounting.ZCDP, 10.0), noise_bound(Accounting.APPROXIMATE, 10.0)
    (20, 30)
    """
    if accounting is Accounting.ZCDP:
        return math.ceil(-losses.NORMAL.inv_cdf(beta / 2) * scale)
    return max(0, math.ceil(scale * math.log(2 / beta / (1 + math.exp(-1 / scale))) - 1))


def _together(accounting: Accounting, terms: Sequence[tuple[float, float]], beta: float) -> float:
    """Bound a weighted sum of noises, given as pairs of weight and scale."""
    if accounting is Accounting.ZCDP:
        spread = math.sqrt(sum((weight * scale) ** 2 for weight, scale in terms))
        return -losses.NORMAL.inv_cdf(beta / 2) * spread + max(weight for weight, _ in terms)
    return sum(weight * noise_bound(accounting, scale, beta / len(terms)) for weight, scale in terms)


def error(planned: Plan, rows: float) -> float:
    """Bound the noise of an answer over so many rows, in the answer's unit; of a quantile, in rows of rank.

    It is the noise alone: what clamping values and bounding a subject's rows leave out is not in it, since that
    could be told only from the data.
    """
    question, accounting = planned.question, planned.dataset.accounting
    if question.kind in (Kind.COUNT, Kind.HISTOGRAM):
        return noise_bound(accounting, planned.parts[-1].scale)
    if question.kind is Kind.SUM:
        return noise_bound(accounting, planned.part("sum").scale) * question.step
    if question.kind is Kind.QUANTILE:
        # McSherry and Talwar 2007, theorem 6
        return planned.part("rank").scale * math.log((question.bins + 1) / BETA) / level(question).denominator
    return _error_of_ratio(planned, rows)


def _error_of_ratio(planned: Plan, rows: float) -> float:
    question, accounting = planned.question, planned.dataset.accounting
    count, total, far = planned.part("count").scale, planned.part("sum").scale, reach(question)
    below = rows - noise_bound(accounting, count, BETA * COUNTED)
    terms, unit, most = [(1.0, total), (float(far), count)], question.step, question.upper - question.lower
    if question.kind is Kind.VARIANCE:
        squares = planned.part("squares").scale
        terms = [(1.0, squares), (2.0 * far, total), (half_square(question) + 2.0 * far**2, count)]
        unit, most = question.step**2, (question.upper - question.lower) ** 2 / 4
    if below <= 0:
        return most
    return min(most, _together(accounting, terms, BETA * (1 - COUNTED)) / below * unit)


def expected(planned: Plan) -> float:
    """Foretell the error from what is public: the guess at how many rows there are, spread over the known groups."""
    return error(planned, planned.dataset.about / len(planned.question.keys or ((),)))
