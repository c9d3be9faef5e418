"""Time MABWiser 2.7 on its own decisions and updates: one line of JSON for every line on standard input.

`benchmarks.decide` starts this with an interpreter that has it; it imports nothing of ours."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

ARMS, FEATURES, LEARNT, CALLS = 10, 50, 500, 300


def timed(call: Callable[[int], object]) -> float:
    """Return a call's mean time, in microseconds."""
    started = time.perf_counter()
    for place in range(CALLS):
        call(place)
    return (time.perf_counter() - started) / CALLS * 1e6


def main() -> None:
    """Answer each line with a round of times."""
    random = np.random.default_rng(20260301)
    contexts = random.standard_normal((LEARNT, FEATURES))
    arms, rewards = random.integers(ARMS, size=LEARNT), (random.random(LEARNT) < 0.3).astype(int)
    policies = {
        "thompson": MAB(list(range(ARMS)), LearningPolicy.ThompsonSampling()),
        "lin_ucb": MAB(list(range(ARMS)), LearningPolicy.LinUCB(alpha=1.0)),
        "lin_thompson": MAB(list(range(ARMS)), LearningPolicy.LinTS(alpha=0.5)),
    }
    policies["thompson"].fit(arms, rewards)
    for name in ("lin_ucb", "lin_thompson"):
        policies[name].fit(arms, rewards, contexts)
    for _ in sys.stdin:
        found = {"thompson": timed(lambda _: policies["thompson"].predict())}
        found["lin_ucb"] = timed(lambda place: policies["lin_ucb"].predict(contexts[place : place + 1]))
        found["lin_thompson"] = timed(lambda place: policies["lin_thompson"].predict(contexts[place : place + 1]))
        found["learn"] = timed(lambda place: policies["lin_ucb"].partial_fit([3], [1], contexts[place : place + 1]))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
