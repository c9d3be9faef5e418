"""How ten million units are spread over arms: evenly, apart from other experiments, and staying where they are."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from multiprocessing import Pool
from typing import NamedTuple

from scipy.special import chdtrc

from benchmarks.bars import Bar
from domain.experiment.assignment import assign
from domain.experiment.declaration import Arm, Experiment
from domain.experiment.srm import mismatch
from domain.experiments import COLOUR

UNITS = 10_000_000
SLICE = 100_000
PROCESSES = 2
ARMS = (Arm(name="control", weight=2.0), Arm(name="a"), Arm(name="b"))
FIRST = replace(COLOUR, name="first", arms=ARMS)
SECOND = replace(COLOUR, name="second", arms=ARMS)
HEAVIER = replace(FIRST, arms=(*ARMS[:2], Arm(name="b", weight=2.0)))


class Found(NamedTuple):
    """Units by their arm in both experiments, those by arm before and after a weight was raised, and seconds."""

    pairs: Counter[tuple[str, str]]
    moves: Counter[tuple[str, str]]
    seconds: float


def bars() -> list[Bar]:
    """Assign all units three times."""
    pairs: Counter[tuple[str, str]] = Counter()
    moves: Counter[tuple[str, str]] = Counter()
    seconds = 0.0
    with Pool(PROCESSES) as pool:
        for found in pool.imap_unordered(assigned, range(0, UNITS, SLICE)):
            pairs += found.pairs
            moves += found.moves
            seconds += found.seconds
    counts = Counter[str]()
    for (arm, _), count in pairs.items():
        counts[arm] += count
    wrong = sum(count for (before, after), count in moves.items() if before != after != "b")
    moved = sum(count for (before, after), count in moves.items() if before != after) / UNITS
    return [
        Bar("assignment, chi-square p of the arms' counts", mismatch(counts, FIRST.arm_to_share), 0.001, unit=""),
        Bar("assignment, chi-square p of independence of two experiments", independence(pairs), 0.001, unit=""),
        Bar("units that a raised weight moved to another arm than its own", wrong, 0, at_least=False, unit=""),
        Bar("units that it moved, off the least that must move", 100 * abs(moved - 0.15), 0.05, False, "points"),
        Bar("units assigned a second, one process", UNITS / seconds, 50_000, unit="/s"),
    ]


def assigned(start: int) -> Found:
    """Assign one slice of units in both experiments and with the raised weight."""
    units = [f"u-{number}" for number in range(start, start + SLICE)]
    started = time.process_time()
    first = _all(FIRST, units)
    seconds = time.process_time() - started
    return Found(
        Counter(zip(first, _all(SECOND, units), strict=True)),
        Counter(zip(first, _all(HEAVIER, units), strict=True)),
        seconds,
    )


def independence(pairs: Counter[tuple[str, str]]) -> float:
    """Return the chi-square p-value of a table's rows against its columns."""
    rows, columns, units = Counter[str](), Counter[str](), sum(pairs.values())
    for (row, column), count in pairs.items():
        rows[row] += count
        columns[column] += count
    statistic = sum(
        (pairs[row, column] - expected) ** 2 / expected
        for row in rows
        for column in columns
        for expected in [rows[row] * columns[column] / units]
    )
    return float(chdtrc((len(rows) - 1) * (len(columns) - 1), statistic))


def _all(experiment: Experiment, units: list[str]) -> list[str]:
    return [assign(experiment, unit) for unit in units]
