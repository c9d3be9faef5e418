"""How much the Adult table loses in ours and in ARX's hands: the same people, hierarchies, k and measure of loss.

`python -m benchmarks anonymize --data FOLDER [--arx CLASSPATH] [--k 5]`: the folder holds `adult.csv` and
`adult_hierarchy_*.csv` as ARX's repository does (github.com/arx-deidentifier/arx, data/; the table is UCI's, licence
CC BY 4.0), the class path a build of ARX (Apache 2.0).  Neither is part of this project; without the data nothing runs.

ARX generalizes whole columns, of all combinations the one that loses least, with a share of people left out; its local
recoding does that to those left out again, and again.  The loss is measured on what is published, by its text.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar, report
from domain.privacy.anonymize.declaration import Method
from domain.privacy.anonymize.hierarchy import ANY, Tree
from domain.privacy.anonymize.publish import group
from domain.publications import VISITORS

QUASI = ("sex", "age", "race", "marital-status", "education", "native-country", "workclass", "occupation")
KS = (2, 5, 10, 50)
LIMIT = 0.04  # of the people may be left out where ARX generalizes whole columns; ours leaves out nobody
DRIVER = Path(__file__).with_name("Arx.java")
HOW = {"global": "whole columns", "local": "local recoding"}

Rows = Sequence[Sequence[str]]


def read(path: Path) -> list[list[str]]:
    """Read a table as ARX writes it."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=";"))


def quasi(path: Path) -> list[list[str]]:
    """Read of each person what others may know."""
    head, *people = read(path)
    places = [head.index(name) for name in QUASI]
    return [[person[place] for place in places] for person in people]


def tree(path: Path) -> Tree:
    """Read a hierarchy: each line is a value and what it becomes, level by level."""
    children: dict[str, dict[str, None]] = {}
    for line in read(path):
        levels = [line[0], *(f"{level}|{name}" for level, name in enumerate(line[1:-1], 1)), ANY]
        for child, parent in pairwise(levels):
            children.setdefault(parent, {})[child] = None
    return Tree({parent: tuple(below) for parent, below in children.items()})


def spans(path: Path) -> dict[str, int]:
    """Count the values that each published text could be."""
    found: Counter[str] = Counter()
    for line in read(path):
        found.update(set(line))
    return dict(found)


def lost(people: Rows, wide: Sequence[Mapping[str, int]]) -> float:
    """Average over people and fields: the share of a field's values that the text could be, nought if it is one."""
    total = 0.0
    for person, count in Counter(map(tuple, people)).items():
        could = [(spans[text], spans[ANY]) for text, spans in zip(person, wide, strict=True)]
        total += count * sum(some / every for some, every in could if some > 1) / len(wide)
    return total / len(people)


def discernibility(people: Rows) -> float:
    """Sum the squares of the groups' sizes; whoever is left out counts as many as there are (Bayardo, Agrawal 2005)."""
    groups = Counter(map(tuple, people))
    out = groups.pop((ANY,) * len(QUASI), 0)
    return float(sum(size**2 for size in groups.values()) + out * len(people))


def smallest(people: Rows) -> int:
    """Find the smallest group of those who are published."""
    groups = Counter(map(tuple, people))
    groups.pop((ANY,) * len(QUASI), 0)
    return min(groups.values())


def ours(people: Rows, trees: Sequence[Tree], k: int, method: Method) -> tuple[list[tuple[str, ...]], float]:
    """Publish with our method; return what is shown of each person, and the seconds."""
    started = time.perf_counter()
    fields = [tree.encode([person[place] for person in people]) for place, tree in enumerate(trees)]
    wanted = replace(VISITORS, k=k, quasi=dict(zip(QUASI, trees, strict=True)), sensitive={}, method=method)
    made = group(wanted, fields, {}, np.ones(len(people), dtype=np.int64))
    labels = [tuple(label.rpartition("|")[2] for label in row) for row in made.labels]
    return [labels[place] for place in made.of.tolist()], time.perf_counter() - started


def theirs(folder: Path, arx: str, k: int, how: str) -> tuple[list[list[str]], float]:
    """Publish with ARX; return what is shown of each person, and the seconds by its own clock."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "published.csv")
        given = [folder / "adult.csv", folder, out, k, LIMIT, how, *QUASI]
        done = subprocess.run(
            ["java", "-cp", arx, str(DRIVER), *map(str, given)], capture_output=True, text=True, check=True
        )
        return quasi(out), float(done.stdout.split()[-1])


def compared(folder: Path, arx: str, ks: Sequence[int]) -> Iterator[tuple[Bar, dict[str, Any]]]:
    """Compare at each k."""
    people = quasi(folder / "adult.csv")
    paths = [folder / f"adult_hierarchy_{name}.csv" for name in QUASI]
    trees, wide = [tree(path) for path in paths], [spans(path) for path in paths]
    for k in ks:
        mine: dict[Method, float] = {}
        for method in (Method.MONDRIAN, Method.LOCAL):
            shown, seconds = ours(people, trees, k, method)
            mine[method] = lost(shown, wide)
            row = figures(k, f"ours, {method.value}", mine[method], shown, seconds)
            yield Bar(f"k={k}: smallest group, {method.value}", smallest(shown), k, unit="people"), row
        best = mine[Method.LOCAL]
        for how, words in HOW.items() if arx else ():
            published, took = theirs(folder, arx, k, how)
            loss = lost(published, wide)
            row = figures(k, f"ARX, {words}", loss, published, took)
            yield Bar(f"k={k}: loss to that of ARX, {words} ({best:.4f} to {loss:.4f})", best / loss, 1, False), row


def figures(k: int, who: str, loss: float, shown: Rows, seconds: float) -> dict[str, Any]:
    """Write down one publication."""
    return {"k": k, "who": who, "loss": loss, "discernibility": discernibility(shown), "seconds": seconds}


def main(arguments: Sequence[str]) -> int:
    """Run if there is data."""
    parser = ArgumentParser(prog="python -m benchmarks anonymize", description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--arx", default="")
    parser.add_argument("--k", type=int, nargs="+", default=KS)
    asked, rest = parser.parse_known_args(arguments)
    if asked.data is None:
        print("the Adult table is not part of this project: --data FOLDER says where it is")
        return 0
    found = list(compared(asked.data, asked.arx, asked.k))
    for _, row in found:
        print(", ".join(f"{name} {value:,.6g}" if name != "who" else str(value) for name, value in row.items()))
    return report("anonymize", [bar for bar, _ in found], {"rows": [row for _, row in found]}, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
