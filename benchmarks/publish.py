"""What releases and anonymized tables promise, and whether they keep it.

`python -m benchmarks publish --only spending` runs a part; without it all run, about a quarter of an hour of a core."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from benchmarks import grouped_people, private_answers
from benchmarks.bars import Bar, run

PARTS: dict[str, Callable[[], Iterable[Bar]]] = {
    "coverage": private_answers.coverage,
    "distinguishing": private_answers.distinguishing,
    "spending": private_answers.spending,
    "grouped": grouped_people.bars,
}


if __name__ == "__main__":
    sys.exit(run("publish", PARTS, sys.argv[1:]))
