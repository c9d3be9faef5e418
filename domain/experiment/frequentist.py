"""Compare an arm with the control: difference, relative effect, non-inferiority, proportions."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from domain.experiment.reading import NOTHING, Reading, not_estimable
from domain.experiment.samples import Sample

Proportion = tuple[float, float]
"""Successes and units."""

DIGITS = 1e-13
LEAST = 1e-300
STEPS = 100  # of Newton; a few are taken, and halvings where it leaves the interval

ROUNDED = 1e-15
"""A standard error of this share of a mean, or less, is that of doubles: all units alike, summed in parts."""

FAR_FROM_NOUGHT = 3.0  # standard errors that a control's mean must be away for a share of it to mean anything


def compare(control: Sample, arm: Sample, alpha: float = 0.05) -> Reading:
    """Read the difference of two means by Welch's t test (Welch 1947), two-sided at `alpha`."""
    if why := _why_not(control, arm):
        return not_estimable(why)
    effect = arm.mean - control.mean
    error = math.sqrt(control.error + arm.error)
    if not (0 < error < math.inf and math.isfinite(effect)):
        return not_estimable(f"the difference is {effect} and its standard error {error}, which no double holds")
    degrees = _welch_degrees(control, arm)
    half = -float(stdtrit(degrees, alpha / 2)) * error
    p_value = 2 * float(stdtr(degrees, -abs(effect) / error))  # the lower tail: an upper one rounds to nought
    relative = _relative(control, arm, alpha)
    return Reading(
        effect=effect,
        standard_error=error,
        low=effect - half,
        high=effect + half,
        p_value=min(p_value, 1.0),
        degrees=degrees,
        relative=relative.share,
        relative_low=relative.low,
        relative_high=relative.high,
    )


def not_worse(
    control: Sample, arm: Sample, margin: float, *, higher_is_better: bool = True, alpha: float = 0.05
) -> float:
    """Return the one-sided p-value for "the arm is worse by more than `margin` of the control's mean"; small is good.

    The difference arm - (1 -+ margin) control is linear in both means, so that its error counts the control's noise in
    the margin too.  nan where it is not estimable.
    """
    if _why_not(control, arm):
        return math.nan
    sign = 1.0 if higher_is_better else -1.0
    factor = 1.0 - sign * margin * math.copysign(1.0, control.mean)
    scaled = Sample(control.count, factor * control.mean, factor**2 * control.variance)
    error = math.sqrt(scaled.error + arm.error)
    if not 0 < error < math.inf:
        return math.nan
    return float(stdtr(_welch_degrees(scaled, arm), -sign * (arm.mean - scaled.mean) / error))


def compare_proportions(control: Proportion, arm: Proportion, alpha: float = 0.05) -> Reading:
    """Read the difference of two proportions, each given as (successes, units), by the score test.

    The p-value is the pooled z's; the interval holds the differences that the score test at `alpha` does not refuse
    (Mee 1984; Miettinen and Nurminen 1985 without their n/(n-1)), so that both always agree.
    """
    if why := _why_no_proportions(control, arm):
        return not_estimable(why)
    sign, rare = _rarer(control, arm)
    (hits_c, n_c), (hits_a, n_a) = rare
    effect = hits_a / n_a - hits_c / n_c
    pooled = (hits_c + hits_a) / (n_c + n_a)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_a))  # as the test takes it, were there no difference
    limit = -float(ndtri(alpha / 2))
    bounds = sorted(sign * _bound(rare, side, limit, limit * error) for side in (-1.0, 1.0))
    as_samples = [Sample(n, hits / n, hits / n * (1 - hits / n)) for hits, n in (control, arm)]
    relative = _relative(as_samples[0], as_samples[1], alpha)
    return Reading(
        effect=sign * effect,
        standard_error=math.sqrt(sum(sample.error for sample in as_samples)) or error,  # nought where all did or none
        low=bounds[0],
        high=bounds[1],
        p_value=2 * float(ndtr(-abs(effect) / error)),
        relative=relative.share,
        relative_low=relative.low,
        relative_high=relative.high,
    )


def _why_not(control: Sample, arm: Sample) -> str:
    for name, sample in (("control", control), ("arm", arm)):
        if not 2 <= sample.count < math.inf:  # noqa: PLR2004 - a variance takes two
            return f"the {name} has {sample.count:.0f} units and a variance takes two"
        if not (math.isfinite(sample.mean) and 0 <= sample.variance < math.inf):
            found = f"the {name}'s mean is {sample.mean} and its variance {sample.variance}"
            return f"{found}: a value is not finite, or what is divided by sums to nought"
    if not control.variance + arm.variance > 0:
        return "no unit differs from another in either arm"
    if math.sqrt(control.error + arm.error) <= ROUNDED * max(abs(control.mean), abs(arm.mean)):
        return "units differ by rounding alone, which tells no means apart"
    return ""


def _why_no_proportions(control: Proportion, arm: Proportion) -> str:
    for name, (hits, units) in (("control", control), ("arm", arm)):
        if not units > 0:
            return f"the {name} has no units"
        if units == math.inf:
            return f"the {name} has {units} units"
        if not 0 <= hits <= units:
            return f"the {name} has {hits} successes of {units}"
    if control[0] + arm[0] in (0, control[1] + arm[1]):
        return "no unit differs from another in either arm"
    return ""


def _welch_degrees(control: Sample, arm: Sample) -> float:
    share = control.error / (control.error + arm.error)  # errors' squares may pass what a double holds
    return 1 / (share**2 / (control.count - 1) + (1 - share) ** 2 / (arm.count - 1))


class _Relative(NamedTuple):
    share: float = NOTHING
    low: float = NOTHING
    high: float = NOTHING


def _relative(control: Sample, arm: Sample, alpha: float) -> _Relative:
    """Read arm/control - 1 by the delta method; nothing where the control's mean may be nought."""
    if abs(control.mean) <= FAR_FROM_NOUGHT * math.sqrt(control.error):
        return _Relative()
    ratio = arm.mean / control.mean
    error = math.hypot(math.sqrt(arm.error), ratio * math.sqrt(control.error)) / abs(control.mean)
    half = -float(ndtri(alpha / 2)) * error
    return _Relative(ratio - 1, ratio - 1 - half, ratio - 1 + half) if math.isfinite(ratio + half) else _Relative()


def _rarer(control: Proportion, arm: Proportion) -> tuple[float, tuple[Proportion, Proportion]]:
    """Count failures where successes are the rule: 1 - p holds no digits of a small p; return the effect's sign too."""
    if control[0] + arm[0] <= (control[1] + arm[1]) / 2:
        return 1.0, (control, arm)
    return -1.0, ((control[1] - control[0], control[1]), (arm[1] - arm[0], arm[1]))


def _score(control: Proportion, arm: Proportion, difference: float) -> float:
    """Standardise the observed difference by the error it would have, were `difference` true."""
    (hits_c, n_c), (hits_a, n_a) = control, arm
    below, above = _restricted(control, arm, difference)
    error = below * (1 - below) / n_c + above * (1 - above) / n_a
    away = hits_a / n_a - hits_c / n_c - difference
    return away / math.sqrt(error) if error > 0 else math.copysign(math.inf, away) if away else 0.0


def _restricted(control: Proportion, arm: Proportion, difference: float) -> Proportion:
    """Return the likeliest proportions that differ by `difference`."""
    if difference < 0:
        above, below = _restricted(arm, control, -difference)
        return below, above
    least = _likeliest(control, arm, difference)
    return least, least + difference


def _likeliest(control: Proportion, arm: Proportion, difference: float) -> float:
    """Return the likeliest proportion of the control where the arm's is higher by `difference`, at least 0.

    The likelihood's slope falls between the two proportions that each would have alone.  Its root is a cubic's
    (Farrington and Manning 1990), which takes roots of the spacing of doubles: of rare successes no digit was left.
    """
    (hits_c, n_c), (hits_a, n_a) = control, arm
    misses_c, misses_a, most = n_c - hits_c, n_a - hits_a, 1 - difference
    low, high = sorted((min(hits_c / n_c, most), min(max(hits_a / n_a - difference, 0.0), most)))
    if low == high or (not hits_c and hits_a * most <= difference * (n_c * most + misses_a)):
        return low  # the second: the slope falls already at nought
    at = (hits_c + max(hits_a - n_a * difference, 0.0)) / (n_c + n_a)
    for _ in range(STEPS):
        at = at if low < at < high else (low + high) / 2
        above, short, shorter = at + difference, 1 - at, max(most - at, LEAST)
        terms = hits_c / at, hits_a / above, -misses_c / short, -misses_a / shorter
        slope = terms[0] + terms[1] + terms[2] + terms[3]
        low, high = (at, high) if slope > 0 else (low, at)
        step = slope / (terms[0] / at + terms[1] / above - terms[2] / short - terms[3] / shorter)  # Newton's
        at += step
        if abs(step) <= DIGITS * at:
            break
    return min(max(at, low), high)


def _bound(rare: tuple[Proportion, Proportion], side: float, limit: float, reach: float) -> float:
    """Find where the score passes the limit, from the observed difference to the end of what can be."""
    control, arm = rare

    def beyond(difference: float) -> float:
        return side * -_score(control, arm, difference) - limit

    near, end = arm[0] / arm[1] - control[0] / control[1], side * (1 - 1e-12)
    far = near + side * reach
    while side * far < side * end and beyond(far) <= 0:
        near, far, reach = far, far + side * reach, 2 * reach
    far = far if side * far < side * end else end
    return float(brentq(beyond, near, far, xtol=DIGITS * reach)) if beyond(far) > 0 else side
