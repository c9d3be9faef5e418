"""Answer a release's questions exactly: over all rows, and over those that the release may count, drawn again here."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from domain.privacy.release.declaration import SUMMED, Dataset, Kind, Question

Row = Mapping[str, Any]

MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
SPARKS_SEED = 42


def drawn(dataset: Dataset, question: Question, rows: Iterable[Row]) -> list[Row]:
    """Draw the rows that count, as the job says that it does, without Spark; values as far as the bounds let them."""
    groups: dict[Any, dict[tuple[Any, ...], list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        key = tuple(row[name] for name in question.by)
        if row[dataset.subject] is not None and (question.keys is None or key in question.keys):
            groups[row[dataset.subject]][key].append(row)
    kept = [row for subject, own in groups.items() for row in _own(dataset, subject, own)]
    return [clamped(question, row) for row in kept]


def _own(dataset: Dataset, subject: str, own: Mapping[tuple[Any, ...], Sequence[Row]]) -> Iterator[Row]:
    """Draw of one subject: some groups, and some rows of each."""
    name = dataset.row
    for key in least(own, dataset.groups_per_subject, lambda key: (spark_hash(subject, *key), *map(str, key))):
        yield from least(own[key], dataset.rows_per_subject, lambda row: (spark_hash(subject, row[name]), row[name]))


def least(items: Iterable[Any], number: int, lot: Callable[[Any], Any]) -> list[Any]:
    """Keep those whose lot is least; without drawing if there are no more."""
    found = list(items)
    return found if len(found) <= number else sorted(found, key=lot)[:number]


def clamped(question: Question, row: Row) -> Row:
    """Let a value count as the bound that it lies beyond; bins have room for what lies beyond."""
    name = question.column
    if name is None or question.kind not in SUMMED or row[name] is None:
        return row
    return {**row, name: min(max(row[name], question.lower), question.upper)}


def exact(question: Question, rows: Sequence[Row], answer: Row) -> float | None:
    """Give what a row of a release would say without noise; None where there is nothing to say."""
    inside = [row for row in rows if all(row[name] == value for name, value in answer["key"].items())]
    if question.kind is Kind.COUNT:
        return len(inside)
    values = _values(question, inside)
    if question.kind is Kind.HISTOGRAM:
        low, high = answer["bin"]
        return sum(bool((low is None or value >= low) and (high is None or value < high)) for value in values)
    if question.kind is Kind.SUM or not values:
        return sum(values) if question.kind is Kind.SUM else None
    if question.kind is Kind.QUANTILE:
        return sorted(values)[min(int(question.quantile * len(values)), len(values) - 1)]
    return statistics.fmean(values) if question.kind is Kind.MEAN else statistics.pvariance(values)


def off(question: Question, rows: Sequence[Row], answer: Row) -> float:
    """Say how far an answer lies from the exact one, in the unit of its error: of a quantile, rows of rank."""
    if question.kind is not Kind.QUANTILE:
        return abs(float(answer["value"]) - (exact(question, rows, answer) or 0.0))
    values, edge = _values(question, rows), float(answer["value"])
    return abs(sum(value < edge for value in values) - question.quantile * len(values))


def _values(question: Question, rows: Iterable[Row]) -> list[float]:
    name = str(question.column)
    return [float(row[name]) for row in rows if row[name] is not None]


def spark_hash(*values: str | None) -> int:
    """Hash texts as Spark's `xxhash64` does: each is hashed with the hash of those before as the seed, null is skipped.

    >>> spark_hash("Spark")
    -4294468057691064905
    """
    found = SPARKS_SEED
    for value in values:
        found = found if value is None else xxh64(value.encode(), found)
    return found - (1 << 64) if found >> 63 else found


def xxh64(data: bytes, seed: int = 0) -> int:
    """Hash bytes (Yann Collet, xxHash specification 0.1.1, XXH64).

    >>> hex(xxh64(b"")), hex(xxh64(b"abc"))
    ('0xef46db3751d8e999', '0x44bc2cf5ad770999')
    """
    at, length = 0, len(data)
    if length >= 32:  # noqa: PLR2004 - four lanes of eight bytes
        lanes = [(seed + P1 + P2) & MASK, (seed + P2) & MASK, seed, (seed - P1) & MASK]
        while at + 32 <= length:
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        found = sum(_left(lane, turn) for lane, turn in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            found = ((found ^ _round(0, lane)) * P1 + P4) & MASK
    else:
        found = (seed + P5) & MASK
    return _tail(data[at:], (found + length) & MASK)


def _tail(data: bytes, found: int) -> int:
    while len(data) >= 8:  # noqa: PLR2004
        found = (_left(found ^ _round(0, int.from_bytes(data[:8], "little")), 27) * P1 + P4) & MASK
        data = data[8:]
    if len(data) >= 4:  # noqa: PLR2004
        found = (_left(found ^ int.from_bytes(data[:4], "little") * P1 & MASK, 23) * P2 + P3) & MASK
        data = data[4:]
    for byte in data:
        found = _left(found ^ byte * P5 & MASK, 11) * P1 & MASK
    found = (found ^ found >> 33) * P2 & MASK
    found = (found ^ found >> 29) * P3 & MASK
    return found ^ found >> 32


def _round(lane: int, word: int) -> int:
    return _left((lane + word * P2) & MASK, 31) * P1 & MASK


def _left(value: int, turn: int) -> int:
    return (value << turn | value >> 64 - turn) & MASK
