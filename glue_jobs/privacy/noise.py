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
def adding(gaussian: bool, part: Part) -> Any:
    """Make a part's noise for a vector of whole numbers."""
    dp = library()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    if gaussian:
        made = dp.m.make_gaussian(domain, dp.l2_distance(T="f64"), scale=part.scale)
    else:
        made = dp.m.make_laplace(domain, dp.l1_distance(T="i64"), scale=part.scale)
    agreed(made.map(part.l2 if gaussian else part.l1), part.loss)
    return made


@cache
def choosing(gaussian: bool, part: Part) -> Any:
    """Make a part's noisy choice among scores."""
    dp = library()
    measure = dp.zero_concentrated_divergence() if gaussian else dp.max_divergence()
    domain = dp.vector_domain(dp.atom_domain(T="i64"))
    made = dp.m.make_noisy_max(domain, dp.linf_distance(T="i64"), measure, scale=part.scale)
    agreed(made.map(part.bound) * part.groups, part.loss)
    return made


@cache
def keeping(gaussian: bool, part: Part) -> Any:
    """Make a part's noise for counts by group, of which those above its threshold are shown."""
    dp = library()
    domain = dp.map_domain(dp.atom_domain(T="String"), dp.atom_domain(T="i64"))
    if gaussian:
        metric = dp.l02inf_distance(dp.absolute_distance(T="f64"))
        made = dp.m.make_gaussian_threshold(domain, metric, scale=part.scale, threshold=part.threshold)
        loss, delta = made.map((part.groups, part.l2, float(part.bound)))
    else:
        metric = dp.l01inf_distance(dp.absolute_distance(T="i64"))
        made = dp.m.make_laplace_threshold(domain, metric, scale=part.scale, threshold=part.threshold)
        loss, delta = made.map((part.groups, part.l1, part.bound))
    agreed(loss, part.loss)
    agreed(delta, part.delta)
    return made


class OpenDP:
    """Noise for one way of accounting: discrete Gaussian under zCDP, discrete Laplace under pure losses."""

    def __init__(self, accounting: Accounting) -> None:
        self.gaussian = accounting is Accounting.ZCDP

    def added(self, values: Sequence[int], part: Part) -> list[int]:
        """Add noise to each value of one vector."""
        return list(adding(self.gaussian, part)(list(values)))

    def chosen(self, scores: Sequence[int], part: Part) -> int:
        """Choose the place of a score that is near the highest."""
        return int(choosing(self.gaussian, part)(list(scores)))

    def kept(self, counts: Mapping[str, int], part: Part) -> Mapping[str, int]:
        """Add noise to counts by group, and keep those above the part's threshold."""
        return dict(keeping(self.gaussian, part)(dict(counts)))


def agreed(found: float, charged: float) -> None:
    """Refuse noise that loses more than what was charged."""
    if found > charged:
        raise LossDisputed(f"a part was charged {charged!r}, but OpenDP reckons {found!r}")
