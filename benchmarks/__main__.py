"""Run all benchmarks, or those named: `python -m benchmarks [consume] [produce] [faults] …` (BENCHMARKS lists them).

Options go to the one that is named: `python -m benchmarks faults --seed 17`.  A missed bar is shown, and fails the
command only with `--strict`."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import bars
from benchmarks.bars import STRICT

BENCHMARKS = (
    "consume",
    "produce",
    "cost",
    "scaling",
    "faults",
    "layout",
    "hour",
    "fuzz",
    "readout",
    "experiments",
    "tokens",
    "erasure",
    "publish",
    "anonymize",
)
"""Modules of this package, in the order in which they run; each in a process of its own."""


def main(wanted: list[str]) -> int:
    """Run benchmarks one after another; return how many failed, missed bars among them if `--strict` says so."""
    strict, wanted = STRICT in wanted, [word for word in wanted if word != STRICT]
    start = next((place for place, word in enumerate(wanted) if word.startswith("-")), len(wanted))
    wanted, options = wanted[:start], wanted[start:]
    if options and len(wanted) != 1:
        print(f"name the one benchmark that {' '.join(options)} is for", file=sys.stderr)
        return 2
    unknown = set(wanted) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    names = [name for name in BENCHMARKS if not wanted or name in wanted]
    failed = sum(subprocess.call([sys.executable, "-m", f"benchmarks.{name}", *options]) != 0 for name in names)
    found = bars.gathered(names)
    bars.keep("bars", found)
    return failed + (sum(not bar.held for bar in found) if strict else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
