"""The pictures of a readout: effects beside each other, their course, beliefs, and whom a bandit sent where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.experiment.bayesian.belief import Belief
from domain.experiment.declaration import Better
from domain.experiment.page.svg import AMBER, COLOURS, INK, MUTED, Chart, percent, reach
from domain.experiment.readout import Finding, Readout
from domain.experiment.words import HARDLY

POINTS = 200
ROW = 26  # pixels
WIDE = 1120.0
TRUTH = "planted truth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A row of the forest: a relative effect, its interval if looked at once, and the one that the design allows.

    `margin` is a guardrail's, `truth` what was planted, where it is known.
    """

    label: str
    arm: str
    relative: float
    once: tuple[float, float]
    valid: tuple[float, float]
    margin: float | None = None
    truth: float | None = None


def effect_of(finding: Finding) -> Effect:
    """Make a row of a finding."""
    where = "" if finding.slice == "all" else f", {finding.slice}"
    loss = None
    if finding.margin is not None:
        loss = finding.margin if finding.better is Better.LOWER else -finding.margin
    return Effect(
        label=f"{finding.outcome} ({finding.role.value}){where}: {finding.arm}",
        arm=finding.arm,
        relative=finding.reading.relative,
        once=(finding.reading.relative_low, finding.reading.relative_high),
        valid=(finding.valid.relative_low, finding.valid.relative_high),
        margin=loss,
    )


def forest(effects: Sequence[Effect], title: str = "Effect beside the control") -> str:
    """Draw each relative effect with both of its intervals."""
    rows = [effect for effect in effects if math.isfinite(effect.relative)]
    known = [value for row in rows for value in (*row.once, *row.valid, row.margin or 0.0, row.truth or 0.0)]
    arms = palette(dict.fromkeys(row.arm for row in rows))
    left = 24 + 6.6 * max((len(row.label) for row in rows), default=8)
    foot = 0.5 - max(len(rows), 1)
    chart = Chart(title, reach([0.0, *known]), (foot, 0.5), WIDE, 90.0 + ROW * max(len(rows), 1), left)
    chart.across_axis(percent, "thin: if looked at once; thick: as the design allows")
    chart.line([(0.0, foot), (0.0, 0.5)], MUTED, dash="3 3")
    for place, row in enumerate(rows):
        chart.words(left - 10, chart.up(-place) + 4, row.label, anchor="end")
        chart.line([(value, -place) for value in row.valid], arms[row.arm], thick=7, faint=True)
        chart.line([(value, -place) for value in row.once], arms[row.arm], thick=2)
        chart.dot(row.relative, -place, arms[row.arm])
        if row.margin is not None:
            chart.line([(row.margin, -place - 0.35), (row.margin, -place + 0.35)], INK, thick=2)
        if row.truth is not None:
            chart.diamond(row.truth, -place, AMBER)
    if any(row.truth is not None for row in rows):
        chart.legend([(TRUTH, AMBER)])
    return chart.svg()


def course(readout: Readout) -> str:
    """Draw the primary effect day by day, with the interval that holds at every look."""
    days = [float(point.look.elapsed) for point in readout.course]
    found = {arm: [point.arm_to_finding[arm].valid for point in readout.course] for arm in treatments(readout)}
    edges = [edge for valid in found.values() for one in valid for edge in (one.relative_low, one.relative_high)]
    chart = Chart(
        f"{readout.experiment.primary.name}: effect with the interval that the design allows, by day",
        _days(readout),
        reach([0.0, *edges]),
    )
    chart.up_axis(percent)
    chart.across_axis(label="day")
    chart.line([(chart.x[0], 0.0), (chart.x[1], 0.0)], MUTED, dash="3 3")
    for (_, valid), colour in zip(found.items(), COLOURS * len(found), strict=False):
        low = [(day, one.relative_low) for day, one in zip(days, valid, strict=True)]
        high = [(day, one.relative_high) for day, one in zip(days, valid, strict=True)]
        middle = [(day, one.relative) for day, one in zip(days, valid, strict=True)]
        chart.area(low, high, colour)
        chart.line(middle, colour)
        for day, value in middle:
            if math.isfinite(value):
                chart.dot(day, value, colour)
    chart.legend(zip(found, COLOURS * len(found), strict=False))
    return chart.svg()


def statistic(readout: Readout) -> str:
    """Draw how many standard errors the primary effect lies from nought, day by day, and the bound of each look."""
    days = [float(point.look.elapsed) for point in readout.course]
    bounds = [point.look.bound if point.look.bound < HARDLY else math.nan for point in readout.course]
    scores = {arm: [_score(point.arm_to_finding[arm]) for point in readout.course] for arm in treatments(readout)}
    chart = Chart(
        "Standard errors from nought; dashed: where one may stop",
        _days(readout),
        reach([value for known in scores.values() for value in known] + bounds + [-bound for bound in bounds]),
    )
    chart.up_axis()
    chart.across_axis(label="day")
    for side in (1, -1):
        chart.line([(day, side * bound) for day, bound in zip(days, bounds, strict=True)], INK, dash="6 4")
    for known, colour in zip(scores.values(), COLOURS * len(scores), strict=False):
        chart.line(zip(days, known, strict=True), colour)
        for day, value in zip(days, known, strict=True):
            if math.isfinite(value):
                chart.dot(day, value, colour)
    chart.legend(zip(scores, COLOURS * len(scores), strict=False))
    return chart.svg()


def densities(
    title: str, arm_to_belief: Mapping[str, Belief], control: str, arm_to_truth: Mapping[str, float] | None = None
) -> str:
    """Draw what is believed of each arm's mean; a dashed line is the truth where it is known."""
    colours = palette(arm_to_belief, control)
    ends = [float(belief.quantile(tail)) for belief in arm_to_belief.values() for tail in (5e-4, 1 - 5e-4)]
    truths = dict(arm_to_truth or {})
    span = reach([*ends, *truths.values()], 0.03)
    peaks = [belief.landmarks() for belief in arm_to_belief.values()]  # one may be too narrow for any even spacing
    at = np.unique(np.clip(np.concatenate([np.linspace(*span, POINTS), *peaks]), *span))
    curves = {arm: belief.density(at) for arm, belief in arm_to_belief.items()}
    top = max(float(curve.max()) for curve in curves.values())
    chart = Chart(title, span, (0.0, top * 1.08))
    chart.across_axis(label="dashed: " + TRUTH if truths else "")
    for arm, curve in curves.items():
        points = list(zip(at.tolist(), curve.tolist(), strict=True))
        chart.area([(x, 0.0) for x, _ in points], points, colours[arm])
        chart.line(points, colours[arm])
        if arm in truths:
            chart.line([(truths[arm], 0.0), (truths[arm], top * 1.08)], colours[arm], dash="5 4")
    chart.legend(colours.items())
    return chart.svg()


def allocation(title: str, periods: Sequence[str], arm_to_units: Mapping[str, Sequence[float]], control: str) -> str:
    """Draw each arm's share of the units that came in each period, as bars that fill the whole."""
    colours = palette(arm_to_units, control)
    chart = Chart(title, (0.0, float(len(periods))), (0.0, 1.0))
    wholes = [sum(counts) or 1.0 for counts in zip(*arm_to_units.values(), strict=True)]
    feet = [0.0] * len(periods)
    chart.up_axis(percent)
    for arm, counts in arm_to_units.items():
        for place, count in enumerate(counts):
            share = count / wholes[place]
            chart.bar((place + 0.06, place + 0.94), (feet[place], feet[place] + share), colours[arm])
            feet[place] += share
    every = max(1, len(periods) // 8)
    for place in range(0, len(periods), every):
        foot = chart.height - 24
        chart.words(chart.across(place + 0.5), foot, periods[place], anchor="middle", colour=MUTED)
    chart.legend(colours.items())
    return chart.svg()


def figures(readout: Readout) -> dict[str, str]:
    """Draw every picture of a readout, by name."""
    drawn = {
        "forest": forest([effect_of(found) for found in (*readout.findings, *readout.slices)]),
        "course": course(readout),
        "statistic": statistic(readout),
    }
    control = readout.experiment.control
    if readout.beliefs:
        drawn["densities"] = densities(
            f"What is believed of {readout.experiment.primary.name}", readout.beliefs, control
        )
    if readout.experiment.policy is not None:
        counts = {arm: [float(units[arm]) for units in readout.allocation.values()] for arm in readout.arm_to_units}
        days = [day[5:] for day in readout.allocation]  # of one year, or told apart by the table
        drawn["allocation"] = allocation("Shares of the units that came on each day", days, counts, control)
    return drawn


def palette(arms: Iterable[str], control: str = "") -> dict[str, str]:
    """Give each arm its colour, the same in every picture, and the control none."""
    others = [arm for arm in arms if arm != control]
    colours = dict(zip(others, COLOURS * len(others), strict=False))
    return {control: MUTED, **colours} if control else colours


def treatments(readout: Readout) -> list[str]:
    """Name the arms beside the control."""
    return [arm.name for arm in readout.experiment.arms if arm.name != readout.experiment.control]


def _days(readout: Readout) -> tuple[float, float]:
    return 0.5, max(readout.experiment.stopping.days, readout.look.elapsed) + 0.5


def _score(finding: Finding) -> float:
    error = finding.reading.standard_error
    return finding.reading.effect / error if error > 0 else math.nan
