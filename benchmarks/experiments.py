"""What readings, designs and bandits promise, and whether they keep it: `python -m benchmarks experiments --only null`.

Parts are named after `--only`; without it all run, about twenty minutes of a core."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks import assigned, decide, digits, null, power, regret, valued
from benchmarks.bars import Bar, run

PARTS: dict[str, Callable[[], Sequence[Bar]]] = {
    "null": null.false_alarms,
    "power": power.bars,
    "regret": regret.bars,
    "coverage": null.coverage,
    "decide": decide.bars,
    "import": lambda: [decide.imported()],
    "valued": valued.bars,
    "assigned": assigned.bars,
    "digits": digits.bars,
}


if __name__ == "__main__":
    sys.exit(run("experiments", PARTS, sys.argv[1:]))
