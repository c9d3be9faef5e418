"""Compare an arm with the control: difference, relative effect, non-inferiority, proportions."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from domain.experiment.reading import NOTHING, Reading, not_estimable
from domain.experiment.samples import Sample

FAR_FROM_NOUGHT = 3.0  # standard errors that a control's mean must be away for a share of it to mean anything


def compare(control: Sample, arm: Sample, alpha: float = 0.05) -> Reading:
    """Read the difference of two means by Welch's t test (Welch 1947), two-sided at `alpha`."""
    if why := _why_not(control, arm):
        return not_estimable(why)
    effect = arm.mean - control.mean
    error = math.sqrt(control.error + arm.error)
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
    return float(stdtr(_welch_degrees(scaled, arm), -sign * (arm.mean - scaled.mean) / error))


def compare_proportions(control: tuple[float, float], arm: tuple[float, float], alpha: float = 0.05) -> Reading:
    """Read the difference of two proportions, each given as (successes, units), by the score test.

    The p-value is the pooled z's; the interval holds the differences that the score test at `alpha` does not refuse
    (Mee 1984; Miettinen and Nurminen 1985 without their n/(n-1)), so that both always agree.
    """
    if why := _why_no_proportions(control, arm):
        return not_estimable(why)
    (hits_c, n_c), (hits_a, n_a) = control, arm
    effect = hits_a / n_a - hits_c / n_c
    score = _score(control, arm, 0.0)
    limit = -float(ndtri(alpha / 2))
    as_samples = [Sample(n, hits / n, hits / n * (1 - hits / n)) for hits, n in (control, arm)]
    relative = _relative(as_samples[0], as_samples[1], alpha)
    return Reading(
        effect=effect,
        standard_error=math.sqrt(sum(sample.error for sample in as_samples)),
        low=_bound(control, arm, effect, -1.0, limit),
        high=_bound(control, arm, effect, 1.0, limit),
        p_value=2 * float(ndtr(-abs(score))),
        relative=relative.share,
        relative_low=relative.low,
        relative_high=relative.high,
    )


def _why_not(control: Sample, arm: Sample) -> str:
    for name, sample in (("control", control), ("arm", arm)):
        if sample.count < 2:  # noqa: PLR2004 - a variance takes two
            return f"the {name} has {sample.count:.0f} units and a variance takes two"
        if not (math.isfinite(sample.mean) and math.isfinite(sample.variance)):
            return f"the {name}'s mean is {sample.mean} and its variance {sample.variance}"
    if not control.variance + arm.variance > 0:
        return "no unit differs from another in either arm"
    return ""


def _why_no_proportions(control: tuple[float, float], arm: tuple[float, float]) -> str:
    for name, (hits, units) in (("control", control), ("arm", arm)):
        if not units > 0:
            return f"the {name} has no units"
        if not 0 <= hits <= units:
            return f"the {name} has {hits} successes of {units}"
    if control[0] + arm[0] in (0, control[1] + arm[1]):
        return "no unit differs from another in either arm"
    return ""


def _welch_degrees(control: Sample, arm: Sample) -> float:
    spread = control.error**2 / (control.count - 1) + arm.error**2 / (arm.count - 1)
    return (control.error + arm.error) ** 2 / spread


class _Relative(NamedTuple):
    share: float = NOTHING
    low: float = NOTHING
    high: float = NOTHING


def _relative(control: Sample, arm: Sample, alpha: float) -> _Relative:
    """Read arm/control - 1 by the delta method; nothing where the control's mean may be nought."""
    if abs(control.mean) <= FAR_FROM_NOUGHT * math.sqrt(control.error):
        return _Relative()
    ratio = arm.mean / control.mean
    error = math.sqrt(arm.error + ratio**2 * control.error) / abs(control.mean)
    half = -float(ndtri(alpha / 2)) * error
    return _Relative(ratio - 1, ratio - 1 - half, ratio - 1 + half)


def _score(control: tuple[float, float], arm: tuple[float, float], difference: float) -> float:
    """Standardise the observed difference by the error it would have, were `difference` true."""
    (hits_c, n_c), (hits_a, n_a) = control, arm
    below, above = _restricted(control, arm, difference)
    error = below * (1 - below) / n_c + above * (1 - above) / n_a
    away = hits_a / n_a - hits_c / n_c - difference
    return away / math.sqrt(error) if error > 0 else math.copysign(math.inf, away) if away else 0.0


def _restricted(control: tuple[float, float], arm: tuple[float, float], difference: float) -> tuple[float, float]:
    """Return the likeliest proportions that differ by `difference`: the cubic's root (Farrington and Manning 1990)."""
    (hits_c, n_c), (hits_a, n_a) = control, arm
    a = n_a + n_c
    b = -(a + hits_a + hits_c + difference * (n_c + 2 * n_a))
    c = n_a * difference**2 + difference * (2 * hits_a + a) + hits_a + hits_c
    d = -hits_a * difference * (1 + difference)
    v = b**3 / (27 * a**3) - b * c / (6 * a**2) + d / (2 * a)
    u = math.copysign(math.sqrt(max(b**2 / (9 * a**2) - c / (3 * a), 0.0)), v)
    angle = (math.pi + math.acos(min(max(v / u**3, -1.0), 1.0))) / 3 if u else math.pi / 2
    above = max(min(2 * u * math.cos(angle) - b / (3 * a), 1.0, 1.0 + difference), 0.0, difference)
    return min(max(above - difference, 0.0), 1.0), above


def _bound(control: tuple[float, float], arm: tuple[float, float], effect: float, side: float, limit: float) -> float:
    """Find where the score passes the limit, between the observed difference and the end of what can be."""

    def beyond(difference: float) -> float:
        return side * -_score(control, arm, difference) - limit

    end = side * (1 - 1e-12)
    return float(brentq(beyond, effect, end, xtol=1e-12)) if beyond(end) > 0 > beyond(effect) else side
