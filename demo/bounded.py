"""Answer a release's questions exactly: over all rows, and over those that the release may count, drawn again here."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from xxhash import xxh64_intdigest

from domain.privacy.release.declaration import SUMMED, Dataset, Kind, Question

Row = Mapping[str, Any]

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
        found = found if value is None else xxh64_intdigest(value.encode(), found)
    return found - (1 << 64) if found >> 63 else found
