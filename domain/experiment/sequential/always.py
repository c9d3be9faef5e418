"""Stop at any moment: intervals, p-values and a ratio check that hold at every look there may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from domain.experiment.reading import Reading

STIRLING = 1_000.0  # from here on Stirling's series, cut after two terms, errs by less than 1e-18


def tuned(units: float, alpha: float = 0.05) -> float:
    """Return the mixture's parameter rho that makes the sequence nearly tightest after `units`.

    Elsewhere it stays valid and is wider (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, appendix B.2).
    """
    doubled = -2 * math.log(alpha)
    return math.sqrt((doubled + math.log(doubled + 1)) / units)


def widening(units: float, rho: float, alpha: float = 0.05) -> float:
    """Return how many standard errors an asymptotic confidence sequence spans to each side after `units`.

    The normal mixture of Robbins 1970, valid for any iid units in the limit (Waudby-Smith, Arbour, Sinha, Kennedy and
    Ramdas 2024, theorem 2.2).
    """
    scaled = units * rho**2
    return math.sqrt((scaled + 1) / scaled * 2 * math.log(math.sqrt(scaled + 1) / alpha))


def sequence(reading: Reading, units: float, planned: float, alpha: float = 0.05) -> Reading:
    """Widen a reading of `units` in all arms to a confidence sequence tuned for `planned`, its p-value always valid."""
    rho = tuned(planned, alpha)
    wider = reading.widened(widening(units, rho, alpha) * reading.standard_error)
    return replace(wider, p_value=mixture_p_value(reading.effect / reading.standard_error, units * rho**2))


def mixture_p_value(statistic: float, scaled: float) -> float:
    """Return the always-valid p-value of the mixture sequential ratio test (Johari, Pekelis and Walsh 2015).

    `scaled` is the mixing variance over the estimate's squared standard error, τ²/v.  Take the least over looks.
    """
    log_ratio = -0.5 * math.log1p(scaled) + 0.5 * statistic**2 * scaled / (1 + scaled)
    return min(math.exp(-log_ratio), 1.0)


def mismatch(arm_to_count: Mapping[str, float], arm_to_share: Mapping[str, float], strength: float = 100.0) -> float:
    """Return the always-valid p-value of the counts against the shares (Lindon and Malek 2022).

    The ratio of a Dirichlet mixture, centred on the shares with the weight of `strength` units, to the multinomial of
    the shares.  An arm without a share must have no units.  Take the least over looks.
    """
    shares = {arm: share for arm, share in arm_to_share.items() if share > 0}
    if any(count for arm, count in arm_to_count.items() if arm not in shares):
        return 0.0
    units = math.fsum(arm_to_count.values())
    log_ratio = _start(strength) - _start(strength + units)
    for arm, share in shares.items():
        count, before, expected = arm_to_count.get(arm, 0.0), strength * share, (strength + units) * share
        log_ratio += expected * _surprise((count - units * share) / expected) + _start(before + count) - _start(before)
    return min(math.exp(-log_ratio), 1.0)  # in this order nan stays nan


def _surprise(away: float) -> float:
    """Return x ln x - x + 1 at x = 1 + away, which sums to a divergence."""
    return (1 + away) * math.log1p(away) - away if away > -1 else 1.0


def _start(at: float) -> float:
    """Return ln Γ(at) less at·ln(at) - at: these cancel between arms, and of a billion units would leave six digits."""
    if at < STIRLING:
        return math.lgamma(at) - at * math.log(at) + at
    return 0.5 * math.log(2 * math.pi / at) + (1 / 12 - 1 / (360 * at * at)) / at  # NIST DLMF 5.11.1
