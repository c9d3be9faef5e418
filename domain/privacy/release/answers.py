"""Make answers of exact whole sums and a source of noise; what follows the noise costs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from domain.privacy.release.declaration import SUMMED, Kind, Question
from domain.privacy.release.plan import Part, Plan, error, half_square, level, reach

Key = tuple[str | None, ...]
Sums = Mapping[Key, Mapping[str, Sequence[int]]]
"""By group, what was counted: `count`, `sum`, `squares`, `bins` and `subjects`, each as whole numbers."""


class Noise(Protocol):
    """Where noise comes from; each method refuses to lose more than its part says."""

    def added(self, values: Sequence[int], part: Part) -> list[int]:
        """Add noise to each value of one vector."""

    def chosen(self, scores: Sequence[int], part: Part) -> int:
        """Choose the place of a score that is near the highest."""

    def kept(self, counts: Mapping[str, int], part: Part) -> Mapping[str, int]:
        """Add noise to counts by group, and keep those above the part's threshold."""


def answer(planned: Plan, sums: Sums, noise: Noise) -> list[dict[str, Any]]:
    """Answer a question: a row for each group, or for each bin of it, with a bound of its error."""
    keys = groups(planned, sums, noise)
    if planned.question.kind is Kind.QUANTILE:
        return [_quantile(planned, key, sums, noise) for key in keys]
    noisy = {part.name: _noisy(part, planned, keys, sums, noise) for part in planned.parts if part.name != "subjects"}
    if planned.question.kind is Kind.HISTOGRAM:
        return [row for place, key in enumerate(keys) for row in _histogram(planned, key, noisy["bins"][place])]
    return [
        _figure(planned, key, {name: values[place][0] for name, values in noisy.items()})
        for place, key in enumerate(keys)
    ]


def groups(planned: Plan, sums: Sums, noise: Noise) -> list[Key]:
    """Say which groups are answered: the public ones, or those that are found large enough under noise."""
    question = planned.question
    if not question.selects:
        return list(question.keys or ((),))
    counts = {json.dumps(key): values["subjects"][0] for key, values in sums.items()}
    kept = noise.kept(counts, planned.part("subjects"))
    return [tuple(json.loads(key)) for key in sorted(kept)]  # sorted: the order of arrival must tell nothing


def counted(question: Question, sums: Sums, key: Key, name: str) -> Sequence[int]:
    """Return what was counted of a group; nought where there was nobody."""
    nothing = [0] * (question.bins + 2 if name == "bins" else 1)
    return sums.get(key, {}).get(name, nothing)


def scores(question: Question, bins: Sequence[int]) -> list[int]:
    """Score each edge by how far its rank is from the wanted one (Smith 2011), in whole numbers; the nearest is best.

    >>> median = Question(name="q", kind=Kind.QUANTILE, column="x", upper=3.0, bins=3)
    >>> scores(median, [0, 2, 4, 2, 0])
    [-8, -4, -4, -8]
    """
    wanted = level(question)
    below, rows = list(accumulate(bins))[:-1], sum(bins)
    return [-abs(wanted.denominator * lower - wanted.numerator * rows) for lower in below]


def _noisy(part: Part, planned: Plan, keys: Sequence[Key], sums: Sums, noise: Noise) -> list[list[int]]:
    """Add noise to one part of all groups at once, as one vector."""
    vectors = [counted(planned.question, sums, key, part.name) for key in keys]
    flat = noise.added([value for vector in vectors for value in vector], part)
    width = len(flat) // len(keys) if keys else 0
    return [flat[place * width : (place + 1) * width] for place in range(len(keys))]


def _quantile(planned: Plan, key: Key, sums: Sums, noise: Noise) -> dict[str, Any]:
    question = planned.question
    found = noise.chosen(scores(question, counted(question, sums, key, "bins")), planned.part("rank"))
    return _row(question, key, question.edges[found], error(planned, 0))


def _histogram(planned: Plan, key: Key, bins: Sequence[int]) -> list[dict[str, Any]]:
    edges: list[float | None] = [None, *planned.question.edges, None]
    return [
        {**_row(planned.question, key, value, error(planned, 0)), "bin": [edges[place], edges[place + 1]]}
        for place, value in enumerate(bins)
    ]


def _figure(planned: Plan, key: Key, noisy: Mapping[str, int]) -> dict[str, Any]:
    question, rows = planned.question, noisy.get("count", 0)
    if question.kind is Kind.COUNT:
        return _row(question, key, rows, error(planned, rows))
    if question.kind is Kind.SUM:
        return _row(question, key, noisy["sum"] * question.step, error(planned, rows))
    if rows <= 0:  # nothing can be said of so few
        return _row(question, key, None, None)
    far = reach(question)
    mean = min(max(noisy["sum"] / rows, -far), far)
    if question.kind is Kind.MEAN:
        value = min(max(question.middle + mean * question.step, question.lower), question.upper)
        return _row(question, key, value, error(planned, rows))
    spread = (noisy["squares"] / rows + half_square(question) - mean**2) * question.step**2
    most = (question.upper - question.lower) ** 2 / 4
    return _row(question, key, min(max(spread, 0.0), most), error(planned, rows))


def _row(question: Question, key: Key, value: float | None, bound: float | None) -> dict[str, Any]:
    # Twelve digits: sums of steps show the binary fractions that they are made of.
    rounded = float(f"{value:.12g}") if isinstance(value, float) else value
    return {"key": dict(zip(question.by, key, strict=True)), "value": rounded, "error": bound}


def exact(question: Question, sums: Sums, key: Key) -> float | None:
    """Answer without noise, for whoever may see it: tests and benchmarks."""
    if question.kind in SUMMED or question.kind is Kind.COUNT:
        rows = counted(question, sums, key, "count")[0]
        total = counted(question, sums, key, "sum")[0]
        squares = counted(question, sums, key, "squares")[0]
        return {
            Kind.COUNT: float(rows),
            Kind.SUM: total * question.step,
            Kind.MEAN: question.middle + total / rows * question.step if rows else None,
            Kind.VARIANCE: (
                (squares / rows + half_square(question) - (total / rows) ** 2) * question.step**2 if rows else None
            ),
        }[question.kind]
    return None
