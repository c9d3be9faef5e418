"""How much anonymized tables lose, beside the least that whole-column generalization can, and how fast they are made.

The Adult table of the papers may not be fetched here, so people are drawn with a seed in its shape: as many rows after
cleaning (30,162), the same eight quasi-identifiers with as many values each, skewed and dependent.  ARX generalizes
whole columns and finds the best of all combinations of levels; so does the exhaustive search here, which is therefore
what ARX would return for the same hierarchies, limit and loss.  The loss is measured on what is published, by its text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.bars import Bar
from domain.privacy.anonymize import lattice
from domain.privacy.anonymize.detect import identifiers
from domain.privacy.anonymize.hierarchy import ANY, Encoded, Hierarchy, Numbers, Tree
from domain.privacy.anonymize.mondrian import Space

SEED = 20261122
PEOPLE = 30_162
KS = (2, 10, 50)
LIMIT = 0.04  # of the people may be left out by whole-column generalization; ours leaves out nobody
MANY = 200_000


def tree(name: str, values: int, branch: int) -> Tree:
    """Make a tree over numbered words with branches of so many."""
    leaves = [f"{name}-{place:02}" for place in range(values)]
    if values <= branch:
        return Tree({ANY: tuple(leaves)})
    heads = {f"{name} {place}": tuple(leaves[place : place + branch]) for place in range(0, values, branch)}
    return Tree({ANY: tuple(heads), **heads})


FIELDS: dict[str, tuple[Hierarchy, int]] = {
    "age": (Numbers(widths=(5, 10, 20, 40)), 74),
    "work class": (tree("work", 7, 3), 7),
    "education": (tree("school", 16, 4), 16),
    "marital status": (tree("marital", 7, 3), 7),
    "occupation": (tree("job", 14, 5), 14),
    "race": (tree("race", 5, 5), 5),
    "sex": (tree("sex", 2, 2), 2),
    "country": (tree("country", 41, 10), 41),
}


def people(number: int) -> dict[str, list[Any]]:
    """Draw people whose age, schooling and work depend on each other and whose rarer values are rare."""
    draw = np.random.default_rng(SEED)
    age = np.clip(17 + draw.gamma(2.6, 8.4, number), 17, 90).astype(int)
    school = np.clip(draw.normal(8 + (age > 22) * 1.5, 2.8, number), 0, 15).astype(int)
    found: dict[str, list[Any]] = {"age": age.tolist()}
    for name, (hierarchy, values) in list(FIELDS.items())[1:]:
        assert isinstance(hierarchy, Tree)
        places = np.minimum(draw.zipf(1.6, number) - 1, values - 1)
        if name == "education":
            places = school
        if name == "occupation":
            places = np.clip((15 - school) * 0.6 + draw.normal(3, 2.5, number), 0, values - 1).astype(int)
        if name == "sex":
            places = (draw.random(number) < 0.33).astype(int)
        leaves = sorted(hierarchy.leaves)
        found[name] = [leaves[place] for place in places.tolist()]
    return found


def penalty(label: str, field: Encoded) -> float:
    """Measure a published text: the share of the span that its range covers, or of the words that it could be."""
    if field.tree is not None:
        below = [leaf for leaf in field.known if label in field.tree.paths[leaf]]
        return 0.0 if len(below) == 1 else len(below) / len(field.known)
    if label == ANY:
        return 1.0
    if not label.startswith("["):
        return 0.0
    low, high = map(float, label.strip("[])").split(", "))
    return float(min(1.0, (min(high, field.known[-1]) - max(low, field.known[0])) / field.span))


def lost(labels: Sequence[tuple[str, ...]], people: Any, fields: Sequence[Encoded]) -> float:
    """Average the penalty over people and fields; who is left out loses all."""
    met: dict[tuple[int, str], float] = {}
    total = float(people[-1]) if len(people) > len(labels) else 0.0
    for row, count in zip(labels, people, strict=False):
        for place, label in enumerate(row):
            if (place, label) not in met:
                met[place, label] = penalty(label, fields[place])
        total += float(count) * sum(met[place, label] for place, label in enumerate(row)) / len(fields)
    return total / float(np.sum(people))


def bars() -> Iterator[Bar]:
    """Compare losses at each k, check k by another count, and time the cutting."""
    drawn = people(PEOPLE)
    fields = [hierarchy.encode(drawn[name]) for name, (hierarchy, _) in FIELDS.items()]
    ours, theirs = {}, {}
    for k in KS:
        ours[k], smallest = mondrian(fields, k)
        theirs[k] = full_domain(fields, k)
        yield Bar(f"k={k}: smallest group as DuckDB counts", smallest, k, unit="people")
        yield Bar(
            f"k={k}: loss of Mondrian ({ours[k]:.3f}) over the best whole-column one", ours[k] / theirs[k], 1, False
        )
    yield from times()


def mondrian(fields: Sequence[Encoded], k: int) -> tuple[float, int]:
    """Return what Mondrian loses, and its smallest group counted from what would be published."""
    weights = np.ones(len(fields[0].codes), dtype=np.int64)
    boxes = Space(fields, weights, lambda rows: len(rows) >= k).boxes()
    labels = [box.labels(fields) for box in boxes]
    rows = [labels[place] for place, box in enumerate(boxes) for _ in box.rows]
    published = pa.table({f"f{place}": [row[place] for row in rows] for place in range(len(fields))})
    with duckdb.connect() as connection:
        connection.register("published", published)
        [(smallest,)] = connection.sql(
            "SELECT min(people) FROM (SELECT *, count(*) AS people FROM published GROUP BY ALL)"
        ).fetchall()
    return lost(labels, [len(box.rows) for box in boxes], fields), int(smallest)


def full_domain(fields: Sequence[Encoded], k: int) -> float:
    """Return what the best of all whole-column generalizations loses."""
    weights = np.ones(len(fields[0].codes), dtype=np.int64)
    hierarchies = [hierarchy for hierarchy, _ in FIELDS.values()]

    def fit(groups: Any) -> Any:
        return np.bincount(groups) >= k

    found = lattice.best(hierarchies, fields, weights, fit, int(LIMIT * len(weights)), monotone=True)
    assert found is not None
    shown = np.bincount(found.groups[found.groups >= 0], minlength=len(found.labels))
    return lost(found.labels, [*shown.tolist(), found.suppressed], fields)


def times() -> Iterator[Bar]:
    """Time Mondrian over many people, and the detectors over as many texts."""
    drawn = people(MANY)
    fields = [hierarchy.encode(drawn[name]) for name, (hierarchy, _) in FIELDS.items()]
    started = time.perf_counter()
    Space(fields, np.ones(MANY, dtype=np.int64), lambda rows: len(rows) >= 50).boxes()
    yield Bar(f"{MANY:,} people cut at k=50", MANY / (time.perf_counter() - started), 1_000, unit="people/s")
    texts = pa.array([f"order {place} of shoes" for place in range(MANY // 2)] * 2)
    started = time.perf_counter()
    identifiers(texts)
    # Presidio reads 2,336 short texts a second with its patterns alone (findings of the project, same machine).
    yield Bar("texts looked at for identifiers", MANY / (time.perf_counter() - started), 2_336, unit="texts/s")
