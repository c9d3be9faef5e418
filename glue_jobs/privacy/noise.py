"""Take noise from OpenDP's exact samplers, and have OpenDP reckon each part's loss a second time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from domain.privacy.release.declaration import Accounting
from domain.privacy.release.plan import Part


class LossDisputed(RuntimeError):
    """OpenDP finds that a part loses more than was charged for it; nothing is released."""


@cache
def library() -> Any:
    """Import OpenDP, which takes two seconds, and allow its noise on whole numbers (proved, not yet vetted)."""
    import opendp.prelude as dp  # noqa: PLC0415

    dp.enable_features("contrib")
    return dp


@cache
def adding(gaussian: bool, scale: float) -> Any:
    """Make noise for a vector of whole numbers."""
    dp = library()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    if gaussian:
        return dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale=scale)
    return dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale=scale)


@cache
def choosing(gaussian: bool, scale: float) -> Any:
    """Make a noisy choice among scores."""
    dp = library()
    measure = dp.zero_concentrated_divergence() if gaussian else dp.max_divergence()
    return dp.m.make_noisy_max(
        dp.vector_domain(dp.atom_domain(T="i64")), dp.linf_distance(T="i64"), measure, scale=scale
    )


@cache
def keeping(gaussian: bool, scale: float, threshold: int) -> Any:
    """Make noise for counts by group, of which those above a threshold are shown."""
    dp = library()
    domain = dp.map_domain(dp.atom_domain(T="String"), dp.atom_domain(T="i64"))
    if gaussian:
        metric = dp.l02inf_distance(dp.absolute_distance(T="f64"))
        return dp.m.make_gaussian_threshold(domain, metric, scale=scale, threshold=threshold)
    metric = dp.l01inf_distance(dp.absolute_distance(T="i64"))
    return dp.m.make_laplace_threshold(domain, metric, scale=scale, threshold=threshold)


class OpenDP:
    """Noise for one way of accounting: discrete Gaussian under zCDP, discrete Laplace under pure losses."""

    def __init__(self, accounting: Accounting) -> None:
        self.gaussian = accounting is Accounting.ZCDP

    def added(self, values: Sequence[int], part: Part) -> list[int]:
        """Add noise to each value of one vector."""
        mechanism = adding(self.gaussian, part.scale)
        agreed(mechanism.map(part.l2 if self.gaussian else part.l1), part.loss)
        return list(mechanism(list(values)))

    def chosen(self, scores: Sequence[int], part: Part) -> int:
        """Choose the place of a score that is near the highest."""
        mechanism = choosing(self.gaussian, part.scale)
        agreed(mechanism.map(part.bound) * part.groups, part.loss)
        return int(mechanism(list(scores)))

    def kept(self, counts: Mapping[str, int], part: Part) -> Mapping[str, int]:
        """Add noise to counts by group, and keep those above the part's threshold."""
        mechanism = keeping(self.gaussian, part.scale, part.threshold)
        most = (part.l2, float(part.bound)) if self.gaussian else (part.l1, part.bound)
        loss, delta = mechanism.map((part.groups, *most))
        agreed(loss, part.loss)
        agreed(delta, part.delta)
        return dict(mechanism(dict(counts)))


def agreed(found: float, charged: float) -> None:
    """Refuse noise that loses more than what was charged."""
    if found > charged:
        raise LossDisputed(f"a part was charged {charged!r}, but OpenDP reckons {found!r}")
