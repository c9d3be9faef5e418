"""What releases and anonymized tables promise, and whether they keep it.

`python -m benchmarks publish --only spending` runs a part; without it all run, about a quarter of an hour of a core."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from benchmarks import grouped_people, private_answers
from benchmarks.bars import Bar, report

PARTS: dict[str, Callable[[], Iterable[Bar]]] = {
    "coverage": private_answers.coverage,
    "distinguishing": private_answers.distinguishing,
    "spending": private_answers.spending,
    "grouped": grouped_people.bars,
}
ONLY = "--only"


def main(arguments: list[str]) -> int:
    """Run the parts that are asked for, and print and keep their bars."""
    wanted = arguments[arguments.index(ONLY) + 1 :] if ONLY in arguments else list(PARTS)
    wanted = [word for word in wanted if not word.startswith("-")]
    if unknown := set(wanted) - set(PARTS):
        print(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    found: list[Bar] = []
    seconds = {}
    for part in wanted:
        started = time.monotonic()
        found += [replace(bar, figure=float(bar.figure)) for bar in PARTS[part]()]  # numpy's floats are no JSON
        seconds[part] = round(time.monotonic() - started, 1)
    name = "publish" if ONLY not in arguments else f"publish-{'-'.join(wanted)}"
    return report(name, found, {"seconds": seconds}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
