"""Draw a validation report as SVG by hand: the container has no plotting library, and these five need none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Report = Mapping[str, Any]
Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 44, 44
BLUE, AMBER, GREY, INK = "#2a6fbb", "#e6a23c", "#c9d2d9", "#1d2b36"
ROW = 22  # height of a row of a chart of names


def draw(report: Report) -> dict[str, str]:
    """Draw every picture, by name."""
    return {
        "roc": roc(report),
        "calibration": calibration(report),
        "histogram": histogram(report),
        "slices": slices(report),
        "importance": importance(report),
    }


def roc(report: Report) -> str:
    """Draw the candidate's and the champion's ROC."""
    found = report["curves"]
    marks = [_line([(0, 0), (1, 1)], GREY), _line(found["champion_roc"], AMBER), _line(found["roc"], BLUE)]
    value = report["metrics"]["auc"]["value"] or 0.0
    return _chart(f"ROC, AUC {value:.3f} (blue; champion amber)", "false positive rate", marks)


def calibration(report: Report) -> str:
    """Draw observed rates against mean scores, with their intervals, as far as the scores reach."""
    bins = report["curves"]["calibration"]
    top = max([0.05, *(item["high"] for item in bins), *(item["mean_score"] for item in bins)])
    marks = [_line([(0, 0), (1, 1)], GREY)]
    for item in bins:
        x = item["mean_score"] / top
        marks += [_line([(x, item["low"] / top), (x, item["high"] / top)], GREY), _dot(x, item["rate"] / top)]
    return _chart(f"Calibration: rate against score, both axes to {top:.2f}", "mean score", marks, top)


def histogram(report: Report) -> str:
    """Draw how many rows score how much; amber bought."""
    bins = report["curves"]["histogram"]
    top = max(1, *(item["left"] + item["bought"] for item in bins))
    marks = []
    for item in bins:
        bought, both = item["bought"] / top, (item["bought"] + item["left"]) / top
        marks += [_bar(item["from"], item["to"], both, BLUE), _bar(item["from"], item["to"], bought, AMBER)]
    return _chart(f"Scores of those who bought (amber) and all (blue), to {top:,} rows", "score", marks)


def slices(report: Report) -> str:
    """Draw each slice's AUC with its interval."""
    known = [item for item in report["slices"] if None not in item["auc"].values()]
    rows = [
        (f"{item['slice']} = {item['value']} ({item['n']:,})", *(item["auc"][end] for end in ("low", "value", "high")))
        for item in known
    ]
    return _names("AUC by slice, 95 % intervals, from 0.5 to 1", rows, 0.5, 1.0)


def importance(report: Report) -> str:
    """Draw how much AUC is lost when each feature is shuffled."""
    found = report["importance"]
    rows = [(item["feature"], item["mean"] - item["std"], item["mean"], item["mean"] + item["std"]) for item in found]
    top = max([0.001, *(high for _, _, _, high in rows)])
    return _names(f"AUC lost when a feature is shuffled, to {top:.3f}", rows, 0.0, top)


def _x(share: float) -> float:
    return LEFT + min(max(share, 0), 1) * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - min(max(share, 0), 1) * (HEIGHT - TOP - BOTTOM)


def _line(points: Points, color: str) -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="4" fill="{BLUE}"/>'


def _bar(start: float, end: float, height: float, color: str) -> str:
    left, top, width = _x(start), _y(height), _x(end) - _x(start) - 1
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_y(0) - top:.1f}" fill="{color}"/>'


def _chart(title: str, below: str, marks: Iterable[str], top: float = 1.0) -> str:
    ticks = [step / 5 for step in range(6)]
    labels = [_text(_x(tick), HEIGHT - BOTTOM + 16, f"{tick * top:.2f}", "middle") for tick in ticks]
    frame = f'<path d="M{_x(0)},{_y(1)} V{_y(0)} H{_x(1)}" fill="none" stroke="{GREY}"/>'
    return _svg(HEIGHT, title, [frame, *labels, _text(_x(0.5), HEIGHT - 8, below, "middle"), *marks])


def _names(title: str, rows: Sequence[tuple[str, float, float, float]], start: float, end: float) -> str:
    names, width = 190, WIDTH - 190 - RIGHT

    def place(value: float) -> float:
        return names + width * min(max((value - start) / (end - start), 0), 1)

    marks = []
    for number, (name, low, middle, high) in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        marks += [
            _text(names - 10, y + 4, name, "end"),
            f'<path d="M{place(low):.1f},{y} H{place(high):.1f}" stroke="{GREY}" stroke-width="5"/>',
            f'<circle cx="{place(middle):.1f}" cy="{y}" r="4" fill="{BLUE}"/>',
        ]
    return _svg(TOP + ROW * len(rows) + 10, title, marks)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: int, title: str, marks: Iterable[str]) -> str:
    heading = f'<g font-weight="bold">{_text(20, 24, title)}</g>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{INK}"><title>{escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{heading}{"".join(marks)}</svg>\n'
    )
