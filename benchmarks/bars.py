"""Bars: what is wanted of a figure, what was measured, and how both are shown: a table, a plot and a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

REPORT = Path("build/benchmarks")
STRICT = "--strict"
"""Makes a miss a failure."""

ONLY = "--only"
"""Stands before the parts that are asked for."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure and what is wanted of it: at least so much, or at most."""

    name: str
    figure: float
    wanted: float
    at_least: bool = True
    unit: str = "x"

    @property
    def held(self) -> bool:
        """Tell whether the figure is as wanted."""
        return self.figure >= self.wanted if self.at_least else self.figure <= self.wanted


FIELDS = tuple(each.name for each in fields(Bar))


def table(bars: Sequence[Bar]) -> str:
    """Write bars as a table.

    >>> print(table([Bar("plain", 3.4, 3.2)]))
    | bar | figure | wanted | |
    |---|---|---|---|
    | plain | 3.4 x | ≥ 3.2 x | pass |
    """
    lines = ["| bar | figure | wanted | |", "|---|---|---|---|"]
    for bar in bars:
        wanted = f"{'≥' if bar.at_least else '≤'} {bar.wanted:,g} {bar.unit}"
        lines.append(f"| {bar.name} | {bar.figure:,.4g} {bar.unit} | {wanted} | {'pass' if bar.held else 'MISS'} |")
    return "\n".join(lines)


def report(name: str, bars: Sequence[Bar], rows: dict[str, Any], arguments: Sequence[str]) -> int:
    """Print and keep a benchmark's bars and other figures; return 1 if a bar is missed and that counts."""
    keep(name, bars, **rows)
    return int(STRICT in arguments and not all(bar.held for bar in bars))


def run(name: str, parts: Mapping[str, Callable[[], Iterable[Bar]]], arguments: Sequence[str]) -> int:
    """Run a benchmark's parts, those that are asked for or all, and report their bars; exit with 2 for another word."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    parser.add_argument(ONLY, nargs="+", choices=list(parts), help="run these parts (all)")
    parser.add_argument(STRICT, action="store_true", help="fail if a bar is missed")
    only = parser.parse_args(arguments).only
    found: list[Bar] = []
    seconds = {}
    for part in only or parts:
        started = time.monotonic()
        found += [replace(bar, figure=float(bar.figure)) for bar in parts[part]()]  # numpy's floats are no JSON
        seconds[part] = round(time.monotonic() - started, 1)
    return report("-".join([name, *(only or ())]), found, {"seconds": seconds}, arguments)


def keep(name: str, bars: Sequence[Bar], **more: Any) -> None:
    """Print bars as a table, and keep them as a file and a plot."""
    if not bars:
        return
    REPORT.mkdir(parents=True, exist_ok=True)
    print(f"\n{table(bars)}\n")
    said = {"machine": machine(), "bars": [asdict(bar) | {"held": bar.held} for bar in bars], **more}
    (REPORT / f"{name}.json").write_text(json.dumps(said, indent=1))
    plot(REPORT / f"{name}.png", bars)


def gathered(names: Sequence[str]) -> list[Bar]:
    """Read the bars that benchmarks have kept, as far as they keep them so."""
    paths = [REPORT / f"{name}.json" for name in names]
    kept = [json.loads(path.read_text()).get("bars") for path in paths if path.exists()]
    return [Bar(*map(bar.get, FIELDS)) for some in kept if isinstance(some, list) for bar in some if "wanted" in bar]


def plot(path: Path, bars: Sequence[Bar]) -> None:
    """Draw each figure as its share of what is wanted; beyond the line is better, whichever way the bar goes."""
    import matplotlib as mpl  # noqa: PLC0415  # only here

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9, 1 + 0.35 * len(bars)), layout="constrained")
    shares = [bar.figure / bar.wanted if bar.at_least else bar.wanted / max(bar.figure, 1e-9) for bar in bars]
    axes.barh([bar.name for bar in bars], shares, color=["#2a7f62" if bar.held else "#c8553d" for bar in bars])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("share of what is wanted (1 and more: held)")
    axes.invert_yaxis()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def machine() -> dict[str, Any]:
    """Describe the machine, and how busy it was."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
