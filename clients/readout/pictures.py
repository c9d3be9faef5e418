"""Draw a readout: the forest of effects, and the course of the primary one over the days."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from domain.experiment.declaration import Better
from domain.experiment.readout import Finding, Readout
from domain.experiment.words import HARDLY

INK, MUTED, GRID = "#1d2b36", "#6b7c88", "#e3e9ed"
COLOURS = ("#2a6fbb", "#1b998b", "#e6a23c", "#d1495b", "#8e7cc3")
STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "rivermill",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def forest(readout: Readout, figure: Figure) -> None:
    """Each relative effect with its interval as of one look, and with the design's around it."""
    axes = figure.subplots()
    rows = [found for found in (*readout.findings, *readout.slices) if math.isfinite(found.reading.relative)]
    colours = dict(zip(_arms(readout), COLOURS * len(rows), strict=False))
    for row, found in enumerate(rows):
        reading, valid, colour = found.reading, found.valid, colours[found.arm]
        axes.plot([valid.relative_low, valid.relative_high], [-row, -row], color=colour, alpha=0.35, linewidth=3)
        axes.plot([reading.relative_low, reading.relative_high], [-row, -row], color=colour, linewidth=1.4)
        axes.plot([reading.relative], [-row], color=colour, marker="o")
        if found.margin is not None:
            loss = found.margin if found.better is Better.LOWER else -found.margin
            axes.plot([loss], [-row], color=INK, marker="|", markersize=14)
    axes.axvline(0, color=MUTED, linestyle=":")
    axes.set_yticks([-row for row in range(len(rows))], [_label(found) for found in rows])
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    axes.set(title="Effect beside the control", xlabel="thin: if looked at once; thick: as the design allows")
    axes.grid(visible=False, axis="y")


def course(readout: Readout, figure: Figure) -> None:
    """The primary effect and its standardised statistic, day by day, with the bound of each look."""
    effect, statistic = figure.subplots(2, 1, sharex=True)
    days = [point.look.elapsed for point in readout.course]
    for arm, colour in zip(_arms(readout), COLOURS * len(days), strict=False):
        found = [point.arm_to_finding[arm] for point in readout.course]
        _band(effect, days, found, arm, colour)
        scores = [one.reading.effect / one.reading.standard_error for one in found]
        statistic.plot(days, scores, color=colour, marker="o", markersize=3)
    bounds = [point.look.bound if point.look.bound < HARDLY else math.nan for point in readout.course]
    for side in (1, -1):
        statistic.plot(days, [side * bound for bound in bounds], color=INK, linestyle="--", linewidth=1)
    effect.axhline(0, color=MUTED, linestyle=":")
    statistic.axhline(0, color=MUTED, linestyle=":")
    effect.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    effect.set_title(f"{readout.experiment.primary.name}: effect with the interval that holds at every look")
    effect.legend()
    statistic.set(
        title="Standard errors from nought, and the bound",
        xlabel="day",
        xlim=(0.5, readout.experiment.stopping.days + 0.5),
    )


PICTURES: dict[str, tuple[Callable[[Readout, Figure], None], float, float]] = {
    "forest": (forest, 9.0, 0.0),
    "course": (course, 9.0, 5.6),
}
"""Each picture with its width and height in inches; nought grows with the rows."""


def draw(readout: Readout, folder: Path) -> list[str]:
    """Draw every picture into `folder` as SVG; return their names."""
    rows = len(readout.findings) + len(readout.slices)
    with mpl.rc_context(STYLE):
        for name, (picture, width, height) in PICTURES.items():
            figure = Figure(figsize=(width, height or 1.4 + 0.36 * rows))
            picture(readout, figure)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return list(PICTURES)


def _band(axes: Axes, days: list[int], found: list[Finding], arm: str, colour: str) -> None:
    low = [one.valid.relative_low for one in found]
    high = [one.valid.relative_high for one in found]
    axes.fill_between(days, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(days, [one.reading.relative for one in found], color=colour, marker="o", markersize=3, label=arm)


def _arms(readout: Readout) -> list[str]:
    return [arm.name for arm in readout.experiment.arms if arm.name != readout.experiment.control]


def _label(found: Finding) -> str:
    where = "" if found.slice == "all" else f", {found.slice}"
    return f"{found.outcome} ({found.role.value}){where}: {found.arm}"
