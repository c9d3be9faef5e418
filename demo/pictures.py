"""Draw what happened: one function a picture, each from the evidence alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure

from domain.experiment.page.svg import AMBER, BLUE, GRID, INK, LILAC, MUTED, RED, TEAL

Evidence = Mapping[str, Any]

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


def thousands(count: float) -> str:
    """Write a count with separators.

    >>> thousands(200000)
    '200,000'
    """
    return f"{count:,.0f}"


def account(evidence: Evidence, figure: Figure) -> None:
    """Where every received record went."""
    facts = evidence["account"]
    parts = [
        ("landed", sum(facts["landed"].values()), TEAL),
        ("quarantined", sum(facts["quarantined"].values()), RED),
        ("duplicate delivery", facts["duplicates"], AMBER),
    ]
    bar, reasons = figure.subplots(2, 1, height_ratios=[1, 6])
    left = 0
    for name, count, color in parts:
        bar.barh([0], [count], left=left, color=color, label=f"{name}  {thousands(count)}")
        left += count
    bar.set(yticks=[], title=f"{thousands(facts['received'])} records received, every one accounted for")
    bar.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=3)
    bar.grid(visible=False)
    bar.xaxis.set_visible(False)
    bar.spines[:].set_visible(False)
    _bars(reasons, facts["quarantined"], RED)
    reasons.set_title("Quarantined, by reason")


def per_event(evidence: Evidence, figure: Figure) -> None:
    """What landed, by event."""
    axes = figure.subplots()
    _bars(axes, evidence["account"]["landed"], BLUE)
    axes.set_title("Landed, by event")


def traffic(evidence: Evidence, figure: Figure) -> None:
    """Events a minute over the days, by the hour."""
    axes = figure.subplots()
    hours = [datetime.fromisoformat(hour) for hour, _ in evidence["per_hour"]]
    rates = [count / 60 for _, count in evidence["per_hour"]]
    axes.fill_between(np.array(hours, dtype="datetime64[us]"), rates, color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(np.array(hours, dtype="datetime64[us]"), rates, color=BLUE, linewidth=1.2)
    axes.set(title="Events a minute, by when they happened", ylim=(0, None))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))


def funnel(evidence: Evidence, figure: Figure) -> None:
    """How far sessions go."""
    axes = figure.subplots()
    steps = evidence["funnel"]
    whole = max(steps[0][1], 1)
    for row, ((_, count), color) in enumerate(zip(steps, (BLUE, TEAL, AMBER, RED), strict=True)):
        axes.barh([-row], [count], left=(whole - count) / 2, color=color, height=0.72)
    axes.set_yticks([-row for row in range(len(steps))], [name for name, _ in steps])
    shares = axes.secondary_yaxis("right")
    labels = [f"{thousands(count)}  {count / whole:.1%}" for _, count in steps]
    shares.set_yticks([-row for row in range(len(steps))], labels)
    shares.tick_params(length=0)
    axes.set(title="From a visit to an order", xticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    shares.spines[:].set_visible(False)


def session_lengths(evidence: Evidence, figure: Figure) -> None:
    """How long sessions last, and how many events they hold."""
    minutes, events = figure.subplots(1, 2)
    for axes, key, title, color in (
        (minutes, "session_minutes", "Session length, minutes", TEAL),
        (events, "session_events", "Events a session", LILAC),
    ):
        labels, counts = zip(*evidence[key], strict=True)
        axes.bar(labels, counts, color=color, width=0.85)
        axes.set_title(title)
        axes.tick_params(axis="x", rotation=45)
        axes.grid(visible=False, axis="x")


def roc(evidence: Evidence, figure: Figure) -> None:
    """True against false positives: the model, the champion it replaced, and the best that this world allows."""
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GRID, linestyle="--")
    best = evidence["judged"].get("best")
    if best:
        axes.plot(*_xy(best["roc"]), color=AMBER, linestyle=":", label=f"best possible  {best['auc']:.3f}")
    report = evidence["report"]
    axes.plot(*_xy(report["curves"]["roc"]), color=BLUE, label=f"model  {report['metrics']['auc']['value']:.3f}")
    axes.set(title="ROC, users never seen in training", xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(title="area under the curve", loc="lower right")
    axes.set_aspect("equal")


def calibration(evidence: Evidence, figure: Figure) -> None:
    """Whether a predicted third buys in one case of three."""
    axes, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    bins = evidence["report"]["curves"]["calibration"]
    predicted = [item["mean_score"] for item in bins]
    observed = [item["rate"] for item in bins]
    top = max([*predicted, *observed, 0.05]) * 1.1
    axes.plot([0, top], [0, top], color=GRID, linestyle="--")
    axes.plot(predicted, observed, color=BLUE, marker="o")
    axes.set(title="Calibration", ylabel="observed rate", xlim=(0, top), ylim=(0, top))
    below.bar(predicted, [item["n"] for item in bins], width=top / 40, color=BLUE, alpha=0.5)
    below.set(xlabel="predicted probability", ylabel="rows")


def slices(evidence: Evidence, figure: Figure) -> None:
    """Whether the model serves every group, with 95 % intervals."""
    axes = figure.subplots()
    rows = [item for item in evidence["report"]["slices"] if item["auc"]["value"] is not None]
    for row, item in enumerate(rows):
        auc = item["auc"]
        axes.plot([auc["low"], auc["high"]], [-row, -row], color=BLUE, alpha=0.5, linewidth=3)
        axes.plot([auc["value"]], [-row], color=BLUE, marker="o")
    overall = evidence["report"]["metrics"]["auc"]["value"]
    axes.axvline(overall, color=AMBER, linestyle=":")
    labels = [f"{item['slice']} = {item['value']}  ({thousands(item['n'])})" for item in rows]
    axes.set_yticks([-row for row in range(len(rows))], labels)
    axes.set(title="AUC by slice", xlabel="95 % interval, users resampled")


def importance(evidence: Evidence, figure: Figure) -> None:
    """What the model listens to: AUC lost when a feature is shuffled."""
    axes = figure.subplots()
    found = sorted(evidence["report"]["importance"], key=lambda item: item["mean"])
    names = [item["feature"] for item in found]
    axes.barh(
        names,
        [item["mean"] for item in found],
        xerr=[item["std"] for item in found],
        color=TEAL,
        ecolor=MUTED,
        error_kw={"linewidth": 1},
    )
    axes.set(title="AUC lost when a feature is shuffled")
    axes.grid(visible=False, axis="y")


def timeline(evidence: Evidence, figure: Figure) -> None:
    """The state machine's run."""
    axes = figure.subplots()
    states = [state for state in evidence["timeline"] if state["ended"]]
    start = min(state["started"] for state in states)
    for row, state in enumerate(states):
        color = TEAL if state["succeeded"] else RED
        length = state["ended"] - state["started"]
        axes.barh([-row], [max(length, 0.15)], left=[state["started"] - start], color=color, height=0.6)
        axes.text(state["ended"] - start + 0.5, -row, f"{length:.1f} s", va="center", color=MUTED, fontsize=9)
    axes.set_yticks([-row for row in range(len(states))], [state["name"] for state in states])
    axes.set(title="The day's run", xlabel="seconds")
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)


PICTURES: dict[str, tuple[Callable[[Evidence, Figure], None], float, float]] = {
    "account": (account, 7.2, 5.0),
    "events": (per_event, 7.2, 5.0),
    "traffic": (traffic, 14.8, 2.8),
    "funnel": (funnel, 7.2, 3.2),
    "sessions": (session_lengths, 7.2, 3.2),
    "roc": (roc, 7.2, 5.2),
    "calibration": (calibration, 7.2, 5.2),
    "slices": (slices, 7.2, 5.4),
    "importance": (importance, 7.2, 5.4),
    "timeline": (timeline, 14.8, 4.6),
}
"""Each picture with its width and height in inches."""

OF_THE_MODEL = frozenset({"roc", "calibration", "slices", "importance"})


def draw(evidence: Evidence, folder: Path) -> list[str]:
    """Draw every picture that the evidence supports into `folder`, as SVG; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in PICTURES if evidence["report"] or name not in OF_THE_MODEL]
    with mpl.rc_context(STYLE):
        for name in names:
            picture, width, height = PICTURES[name]
            figure = plt.figure(figsize=(width, height))
            picture(evidence, figure)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
    return names


def _bars(axes: Axes, counts: Mapping[str, int], color: str) -> None:
    ordered = sorted(counts.items(), key=lambda item: item[1])
    names = [name for name, _ in ordered]
    values = [count for _, count in ordered]
    bars = axes.barh(names, values, color=color)
    axes.bar_label(bars, labels=[f" {thousands(value)}" for value in values], color=MUTED)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.15)


def _xy(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
