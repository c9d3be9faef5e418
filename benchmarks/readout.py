"""What a readout costs, in one run: against the bare aggregate, peers on rows, from sums alone, and by rows in Spark.

Users of three arms with five outcomes and as many covariates lie in one Parquet file.  DuckDB sums them up in turns:
bare, as anyone would write it, and as `domain.experiment.units` does, about an origin so that no variance cancels, from
which every reading follows.  statsmodels fits the same adjusted effects by least squares on the rows (HC0), and
spotify-confidence from pandas, in an interpreter of its own.  Wall times; files are in the page cache for all.  Spark
sums rows of events with the Glue job's own code.  `--only` names parts, `--users` and `--rows` give sizes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np

from benchmarks import readout_spark
from benchmarks.bars import Bar, report
from benchmarks.interpreters import interpreter
from domain.experiment.declaration import Arm, Design, Experiment, Kind, Outcome, Stopping
from domain.experiment.frequentist import compare
from domain.experiment.readout import read
from domain.experiment.samples import adjusted
from domain.experiment.statistics import Snapshot
from domain.experiment.units import snapshot

USERS = 10_000_000
ROWS = "12.5,25,50,100"
ROUNDS = 7
PEER_ROUNDS = 3
ALONE_ROUNDS = 500
ARMS = ("control", "new", "newer")
OUTCOMES = 5
DAY = date(2026, 3, 2)
PARTS = ("scan", "peers", "statistics", "spark")
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

Measured = tuple[list[Bar], dict[str, Any]]


def make(path: Path, users: int) -> None:
    """Write the users: values that follow from covariates, a twentieth higher in the arms after the control."""
    columns = ", ".join(
        f"c{n} AS v{n}_covariate, c{n} * 0.7 + 20 * random() + (arm > 0)::INT * 0.05 * c{n} AS v{n}"
        for n in range(OUTCOMES)
    )
    covariates = ", ".join(f"-10 * ln(1 - random()) AS c{n}" for n in range(OUTCOMES))
    engine = duckdb.connect()
    engine.execute("SELECT setseed(0.20260301)")
    engine.execute(
        f"COPY (SELECT {list(ARMS)}[arm + 1] AS arm, {columns} FROM (SELECT (random() * 3)::INT % 3 AS arm, "  # noqa: S608
        f"{covariates} FROM range({users}))) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
    )


def bare(path: Path) -> list[Any]:
    """Sum up as anyone would: the sums that a reading with one covariate needs."""
    sums = ", ".join(
        f"sum({v}), sum({c}), sum({v} * {v}), sum({v} * {c}), sum({c} * {c})"
        for v, c in ((f"v{n}", f"v{n}_covariate") for n in range(OUTCOMES))
    )
    return _ask(f"SELECT arm, count(*), {sums} FROM '{path}' GROUP BY arm")  # noqa: S608


def ours(path: Path) -> Snapshot:
    """Sum up as the product does."""
    return snapshot(_ask, f"'{path}'", TRIAL, DAY)


def _ask(sql: str) -> list[Any]:
    found: list[Any] = duckdb.sql(sql).fetchall()
    return found


def on_rows(path: Path) -> list[float]:
    """Fit each outcome on the arm and the covariate with statsmodels, arm by arm."""
    import statsmodels.api as sm  # noqa: PLC0415 - its import is not what is measured elsewhere

    frame = duckdb.sql(f"SELECT * FROM '{path}'").df()  # noqa: S608
    found = []
    for n in range(OUTCOMES):
        for arm in ARMS[1:]:
            two = frame[frame["arm"].isin([ARMS[0], arm])]
            design = np.column_stack([np.ones(len(two)), two["arm"] == arm, two[f"v{n}_covariate"]])
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


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of one call."""
    start = clock()
    work()
    return clock() - start


def scan(path: Path) -> Measured:
    """Take turns with the bare aggregate."""
    rounds = [(timed(lambda: bare(path)), timed(lambda: read(TRIAL, [ours(path)]))) for _ in range(ROUNDS)]
    ratio = statistics.median(whole / plain for plain, whole in rounds)
    said = {"bare": _median(plain for plain, _ in rounds), "ours": _median(whole for _, whole in rounds)}
    return [Bar("scan and all readings against the bare aggregate", ratio, 1.5, at_least=False)], said


def peers(path: Path) -> Measured:
    """Let peers compare the same arms, and hold their effects against ours."""
    whole = _median(timed(lambda: read(TRIAL, [ours(path)])) for _ in range(PEER_ROUNDS))
    known = read(TRIAL, [ours(path)])
    errors = [float(finding.reading.standard_error) for finding in known.findings]
    effects = [finding.reading.effect for finding in known.findings]
    script = Path(__file__).with_name("confidence_times.py")
    asked = [str(each) for each in (interpreter("confidence"), script, path, OUTCOMES, PEER_ROUNDS)]
    told = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    fitted: list[float] = []
    rows = timed(lambda: fitted.extend(on_rows(path)))

    def off(theirs: list[float]) -> float:
        return max(abs(one - two) / error for one, two, error in zip(effects, theirs, errors, strict=True))

    confidence = statistics.median(told["seconds"])
    bars = [
        Bar("against spotify-confidence on pandas", confidence / whole, 5.0),
        Bar("against statsmodels on rows", rows / whole, 5.0),
        # their coefficients are not those within three arms: they take differences between arms along, or two arms
        Bar("effects off spotify-confidence's, standard errors", off(told["effects"]), 0.01, at_least=False),
        Bar("effects off least squares', standard errors", off(fitted), 0.1, at_least=False),
    ]
    return bars, {"ours again": whole, "spotify-confidence": confidence, "statsmodels": rows}


def from_sums(path: Path) -> Measured:
    """Time what follows from sums."""
    known = ours(path)
    alone = _median(timed(lambda: statistics_alone(known)) for _ in range(ALONE_ROUNDS))
    reading = _median(timed(lambda: read(TRIAL, [known])) for _ in range(ROUNDS))
    bars = [Bar("ten comparisons from sums, median", alone * 1e3, 1.0, at_least=False, unit="ms")]
    return bars, {"alone": alone, "with beliefs, ratio check and verdicts": reading}


def main(arguments: list[str]) -> int:
    """Measure, compare and keep."""
    parser = argparse.ArgumentParser(prog="benchmarks readout", allow_abbrev=False)
    parser.add_argument("--users", type=int, default=USERS, help="of the Parquet file")
    parser.add_argument("--rows", default=ROWS, help="millions of rows of events that Spark sums up, one after another")
    parser.add_argument("--memory", default="4g", help="heap of Spark")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    asked, rest = parser.parse_known_args(arguments)
    ways: dict[str, Callable[[Path], Measured]] = {"scan": scan, "peers": peers, "statistics": from_sums}
    bars: list[Bar] = []
    figures: dict[str, Any] = {"users": asked.users}
    with TemporaryDirectory(dir=_scratch()) as folder:
        path = Path(folder) / "users.parquet"
        if set(ways) & set(asked.only):
            make(path, asked.users)
            bare(path)  # warms the page cache for all
        sizes = [round(float(size) * 1e6) for size in asked.rows.split(",")]
        ways["spark"] = lambda path: readout_spark.bars(path.parent, sizes, asked.memory)
        for name in asked.only:
            found, said = ways[name](path)
            print(name, said, flush=True)
            bars += found
            figures |= {name: said}
    return report("readout", bars, figures, rest)


def _scratch() -> Path:
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    return folder


def _median(seconds: Iterable[float]) -> float:
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
