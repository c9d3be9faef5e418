"""What the Glue job's own sums cost per row of events, from millions of rows to a hundred, in one limited Spark."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import SparkSession

from benchmarks.bars import Bar
from domain.experiment.declaration import Arm, Experiment, Kind, Outcome
from glue_jobs import lake
from glue_jobs.experiment.readout import transform

PURCHASES = 2  # of each unit, beside its exposure and a page view
EVENTS_A_UNIT = PURCHASES + 2
SEED = 0.20260301
UNITS = """
    CREATE VIEW units AS
    SELECT
        id,
        'u-' || lpad(id::VARCHAR, 10, '0') AS user_id,
        TIMESTAMPTZ '2026-03-08 00:00:00+00' + to_seconds((hash(id) % 604800)::BIGINT) AS shown
    FROM range({start}, {end}) AS ids(id)
"""
EVENTS = {
    "exposure": """
        SELECT user_id, shown AS event_time, 'trial' AS experiment,
            picked(['control', 'new', 'newer'], hash(id + 7)) AS arm
        FROM units""",
    "page_view": """
        SELECT user_id, shown - INTERVAL 1 MINUTE AS event_time,
            picked(['mobile', 'desktop'], hash(id + 3)) AS device,
            picked(['DE', 'FR', 'US'], hash(id + 5)) AS country
        FROM units""",
    "purchase": f"""
        SELECT user_id, shown + to_seconds((hash(id, n) % 1209600)::BIGINT) - INTERVAL 7 DAY AS event_time,
            -30 * ln(1 - random()) AS amount, (1 + hash(id, n, 1) % 5)::INT AS items, random() * 100 AS points
        FROM units, range({PURCHASES}) AS many(n)""",  # noqa: S608 - a number
}
"""Within a week before and after a unit's exposure it buys."""

WARMING = 400_000
"""Rows before the first that count, while the virtual machine compiles."""


def _outcome(name: str, kind: Kind, field: str | None = None) -> Outcome:
    return Outcome(name=name, event="purchase", kind=kind, field=field, lookback_days=7)


TRIAL = Experiment(
    name="trial",
    arms=tuple(Arm(name=arm) for arm in ("control", "new", "newer")),
    primary=_outcome("buyers", Kind.PROPORTION),
    secondary=(
        _outcome("orders", Kind.COUNT),
        _outcome("revenue", Kind.MEAN, "amount"),
        _outcome("items", Kind.MEAN, "items"),
        _outcome("points", Kind.MEAN, "points"),
    ),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The seconds that so many rows of events took, by the clock and of processors."""

    rows: int
    seconds: float
    processor: float


def bars(folder: Path, sizes: Sequence[int], memory: str) -> tuple[list[Bar], dict[str, Any]]:
    """Sum each number of rows up once, least first; hold a row of the most to the cheapest of fewer."""
    part = min(sizes)
    if any(size % part for size in sizes):
        raise ValueError(f"sizes {list(sizes)}: give multiples of the least, which is the size of a file")
    warming = min(WARMING, part)
    make(folder / "warming", 0, warming)
    for number in range(max(sizes) // part):
        make(folder / f"part-{number}", number * part, part)
    with limited(folder / "spark", memory) as spark:
        costs(spark, [folder / "warming"], warming)
        found = []
        for size in sorted(sizes):
            found.append(costs(spark, [folder / f"part-{number}" for number in range(size // part)], size))
            print(f"{size:,} rows: {found[-1].seconds:.1f} s, {found[-1].processor:.1f} of processors", flush=True)
        resident = peak(spark)
    said = {"heap": memory, "resident_gb": resident, "rows": [asdict(cost) for cost in found]}
    return [
        dearer(found, "seconds", "by the clock"),
        dearer(found, "processor", "in time of processors"),
    ], said


def dearer(found: Sequence[Cost], what: str, words: str) -> Bar:
    """Say how much a row of the most costs beside the cheapest of fewer."""
    each = [getattr(cost, what) / cost.rows for cost in found]
    name = f"Spark, a row of {found[-1].rows / 1e6:g} million against the cheapest of fewer, {words}"
    return Bar(name, each[-1] / min(each[:-1] or each), 1.15, at_least=False)


def make(folder: Path, first: int, rows: int) -> None:
    """Write rows of exposures, page views and purchases of units that no other part has, as Parquet."""
    folder.mkdir(parents=True)
    units, start = rows // EVENTS_A_UNIT, first // EVENTS_A_UNIT
    with duckdb.connect() as engine:
        engine.execute(f"SET TimeZone = 'UTC'; SELECT setseed({SEED})")
        engine.execute("CREATE MACRO picked(among, number) AS among[(1 + number % len(among)::UBIGINT)::BIGINT]")
        engine.execute(UNITS.format(start=start, end=start + units))
        for name, query in EVENTS.items():
            engine.execute(f"COPY ({query}) TO '{folder / name}.parquet' (FORMAT parquet)")


def costs(spark: SparkSession, parts: Sequence[Path], rows: int) -> Cost:
    """Time the job's sums over the parts, and see that no unit is missing."""
    names = ("exposure", "page_view", "purchase")
    lake.spread(spark, rows)
    started, busy = time.perf_counter(), processor(spark)
    tables = {name: spark.read.parquet(*(str(part / f"{name}.parquet") for part in parts)) for name in names}
    found = transform(tables["exposure"], tables, TRIAL).collect()
    cost = Cost(rows, time.perf_counter() - started, processor(spark) - busy)
    units = sum(row["count"] for row in found if row["arm"] and row["outcome"] is None)
    if units != rows // EVENTS_A_UNIT:
        raise RuntimeError(f"the job counted {units} units, where {rows // EVENTS_A_UNIT} were exposed")
    return cost


@contextmanager
def limited(folder: Path, memory: str) -> Iterator[SparkSession]:
    """Start Spark on four cores with so much heap, and end it."""
    settings = {
        "spark.driver.memory": memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(folder),
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder: Any = SparkSession.builder.master("local[4]")
    builder.config(map=settings).getOrCreate()
    spark = lake.session()
    try:
        yield spark
    finally:
        spark.stop()


def processor(spark: SparkSession) -> float:
    """Return the seconds of processors that the virtual machine has used."""
    fields = _told(spark, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(spark: SparkSession) -> float:
    """Return the most memory that the virtual machine ever held, in GB."""
    return next(int(line.split()[1]) / 1e6 for line in _told(spark, "status").splitlines() if line.startswith("VmHWM"))


def _told(spark: SparkSession, what: str) -> str:
    """Read what Linux tells of the virtual machine (proc(5))."""
    gateway: Any = spark.sparkContext._gateway
    return Path(f"/proc/{gateway.proc.pid}/{what}").read_text()
