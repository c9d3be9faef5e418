"""What a readout costs: our one scan and its readings, against the bare aggregate, and against statsmodels on rows.

Users of three arms with five outcomes and as many covariates lie in one Parquet file.  DuckDB sums them up twice: bare,
as anyone would write it, and as ours, about an origin so that no variance cancels, from which every reading follows.
statsmodels fits the same adjusted effects by least squares on the rows (HC0).  Wall times of one run, one after the
other, each several times; the files are in the page cache for all.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np

from benchmarks.bars import Bar, report
from domain.experiment.declaration import Arm, Design, Experiment, Kind, Outcome, Stopping
from domain.experiment.frequentist import compare
from domain.experiment.moments import of_shifted_sums
from domain.experiment.readout import Readout, read
from domain.experiment.samples import adjusted
from domain.experiment.statistics import EVERYONE, MEASURES, Cell, Snapshot, Summary

SEED = 20260301
USERS = 10_000_000
REPEATS = 5
ARMS = ("control", "new", "newer")
OUTCOMES = 5
DAY = date(2026, 3, 2)
TRIAL = Experiment(
    name="trial",
    arms=tuple(Arm(name=arm) for arm in ARMS),
    primary=Outcome(name="v0", event="purchase", kind=Kind.MEAN, field="amount", lookback_days=7),
    secondary=tuple(
        Outcome(name=f"v{number}", event="purchase", kind=Kind.MEAN, field="amount", lookback_days=7)
        for number in range(1, OUTCOMES)
    ),
    stopping=Stopping(design=Design.FIXED, days=1, looks=1),
)


def make(path: Path, users: int) -> None:
    """Write the users: values that follow from covariates, a twentieth higher in the arms after the control."""
    columns = ", ".join(
        f"c{n}, c{n} * 0.7 + 20 * random() + (arm > 0)::INT * 0.05 * c{n} AS v{n}" for n in range(OUTCOMES)
    )
    covariates = ", ".join(f"-10 * ln(1 - random()) AS c{n}" for n in range(OUTCOMES))
    engine = duckdb.connect()
    engine.execute("SELECT setseed(0.20260301)")
    engine.execute(
        f"COPY (SELECT arm, {columns} FROM (SELECT (random() * 3)::INT % 3 AS arm, {covariates} "  # noqa: S608
        f"FROM range({users}))) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
    )


def bare(path: Path) -> list[Any]:
    """Sum up as anyone would: the sums that a reading with one covariate needs."""
    sums = ", ".join(
        f"sum(v{n}), sum(c{n}), sum(v{n} * v{n}), sum(v{n} * c{n}), sum(c{n} * c{n})" for n in range(OUTCOMES)
    )
    found: list[Any] = duckdb.sql(f"SELECT arm, count(*), {sums} FROM '{path}' GROUP BY arm").fetchall()  # noqa: S608
    return found


def ours(path: Path) -> Snapshot:
    """Sum up about an origin that a few thousand rows give, and turn the sums into what readings take."""
    names = [f"{kind}{n}" for n in range(OUTCOMES) for kind in "vc"]
    averages = ", ".join(f"avg({name})" for name in names)
    found = duckdb.sql(f"SELECT {averages} FROM (FROM '{path}' LIMIT 4096)").fetchall()[0]  # noqa: S608
    origin = dict(zip(names, found, strict=True))
    shifted = ", ".join(f"{name} - {origin[name]!r} AS {name}" for name in names)
    sums = ", ".join(
        f"sum(v{n}), sum(c{n}), sum(v{n} * v{n}), sum(v{n} * c{n}), sum(c{n} * c{n})" for n in range(OUTCOMES)
    )
    sql = f"SELECT arm, count(*), {sums} FROM (SELECT arm, {shifted} FROM '{path}') GROUP BY arm"  # noqa: S608
    cells, units = {}, {}
    for arm, count, *row in duckdb.sql(sql).fetchall():
        units[DAY, ARMS[arm]] = count
        for n in range(OUTCOMES):
            value, covariate, vv, vc, cc = row[5 * n : 5 * n + 5]
            moments = of_shifted_sums(
                MEASURES,
                count,
                np.array([origin[f"v{n}"], 0.0, origin[f"c{n}"]]),
                np.array([value, 0.0, covariate]),
                np.array([[vv, 0.0, vc], [0.0, 0.0, 0.0], [vc, 0.0, cc]]),
            )
            cells[Cell(f"v{n}", EVERYONE, DAY, ARMS[arm])] = Summary(moments)
    return Snapshot(DAY, units, 0, cells)


def on_rows(path: Path) -> list[float]:
    """Fit each outcome on the arm and the covariate with statsmodels, arm by arm."""
    import statsmodels.api as sm  # noqa: PLC0415 - its import is not what is measured elsewhere

    frame = duckdb.sql(f"SELECT * FROM '{path}'").df()  # noqa: S608
    found = []
    for n in range(OUTCOMES):
        for arm in (1, 2):
            two = frame[frame["arm"].isin([0, arm])]
            design = np.column_stack([np.ones(len(two)), two["arm"] == arm, two[f"c{n}"]])
            found.append(float(sm.OLS(two[f"v{n}"].to_numpy(), design).fit(cov_type="HC0").params[1]))
    return found


def statistics_alone(known: Snapshot) -> list[float]:
    """Make the ten comparisons from sums that are there: adjusted effects, intervals and p-values."""
    found = []
    for outcome in TRIAL.outcomes:
        there = adjusted(
            {arm: summary.moments for arm, summary in known.arms(outcome.name).items()}, "value", ["covariate"]
        )
        found += [compare(there["control"], there[arm]).effect for arm in ARMS[1:]]
    return found


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the median seconds and the last result."""
    seconds: list[float] = []
    found = None
    for _ in range(repeats):
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), found


def main(arguments: list[str]) -> int:
    """Measure, compare and keep."""
    parser = argparse.ArgumentParser(prog="benchmarks readout", allow_abbrev=False)
    parser.add_argument("--users", type=int, default=USERS)
    asked, rest = parser.parse_known_args(arguments)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "users.parquet"
        make(path, asked.users)
        bare(path)  # warms the page cache for all
        plain, _ = timed(lambda: bare(path), REPEATS)
        whole, found = timed(lambda: read(TRIAL, [ours(path)]), REPEATS)
        known = ours(path)
        alone, effects = timed(lambda: statistics_alone(known), 200)
        reading, _ = timed(lambda: read(TRIAL, [known]), 20)
        rows, fitted = timed(lambda: on_rows(path), 1)
    worst = max(abs(one - other) for one, other in zip(effects, fitted, strict=True))
    figures = {"users": asked.users, "bare": plain, "ours": whole, "read": reading, "rows": rows, "off": worst}
    print({name: round(value, 6) for name, value in figures.items()}, "units", sum(found.arm_to_units.values()))
    bars = [
        Bar("scan and readings against the bare aggregate", whole / plain, 1.5, at_least=False),
        Bar("against statsmodels on rows", rows / whole, 5.0),
        Bar("ten comparisons from sums", alone * 1e3, 1.0, at_least=False, unit="ms"),
        Bar("effects off those of least squares, standard errors", _off(found, effects, fitted), 0.1, at_least=False),
    ]
    return report("readout", bars, figures, rest)


def _off(found: Readout, effects: list[float], fitted: list[float]) -> float:
    """Say how far effects lie from those of least squares on two arms alone, which has coefficients of its own."""
    errors = [finding.reading.standard_error for finding in found.findings]
    return max(abs(one - other) / float(error) for one, other, error in zip(effects, fitted, errors, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
