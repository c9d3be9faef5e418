"""How long a decision and an update take in process, ten arms, one at a time, beside MABWiser in the same run.

MABWiser takes pandas and seaborn along, so it has an interpreter of its own (`benchmarks/interpreters.py`).  Rounds
take turns; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.bars import Bar
from benchmarks.interpreters import interpreter
from domain.experiment.policies import BetaThompson
from domain.experiment.policies.linear import LinThompson, LinUCB
from domain.experiment.policies.policy import Tally, draw
from domain.experiment.policies.regressions import nothing_learnt

SEED = 20260301
ARMS, FEATURES, LEARNT = 10, 50, 500
CALLS = 300
ROUNDS = 21
STARTS = 9

Way = Callable[[int], object]


def bars() -> list[Bar]:
    """Measure all ways in turns, with the peer's in between."""
    ways = ours()
    with_peer = start_peer()
    rounds = []
    for _ in range(ROUNDS):
        peer = ask(with_peer)
        rounds.append(({name: timed(way) for name, way in ways.items()}, peer))
    with_peer.communicate()
    return [*against(rounds), *slowest(rounds)]


def ours() -> dict[str, Way]:
    """Give each way that we decide or learn, after 500 rewards."""
    source, chance = np.random.default_rng(SEED), random.Random(SEED)  # noqa: S311 - a simulation
    contexts = source.standard_normal((LEARNT, FEATURES))
    regressions, tallies = nothing_learnt(ARMS, FEATURES), [Tally()] * ARMS
    for place, (arm, hit) in enumerate(zip(source.integers(ARMS, size=LEARNT), source.random(LEARNT), strict=True)):
        regressions.learn(int(arm), contexts[place], float(hit < 0.3))
        tallies[int(arm)] = tallies[int(arm)].rewarded(float(hit < 0.3))
    published = BetaThompson().weights(tallies)
    upper, thompson, beta = LinUCB(), LinThompson(), BetaThompson()
    return {
        "thompson": lambda _: beta.choose(tallies, chance),
        "weights": lambda _: draw(published, chance.random()),
        "lin_ucb": lambda place: upper.choose(regressions, contexts[place], source),
        "lin_thompson": lambda place: thompson.choose(regressions, contexts[place], source),
        "learn": lambda place: regressions.learn(3, contexts[place], 1.0),
    }


def timed(way: Way) -> list[float]:
    """Return each call's time, in microseconds, in order of length."""
    clock, found = time.perf_counter, []
    for place in range(CALLS):
        started = clock()
        way(place)
        found.append((clock() - started) * 1e6)
    return sorted(found)


def start_peer() -> subprocess.Popen[str]:
    """Start MABWiser's rounds."""
    script = Path(__file__).with_name("mabwiser_times.py")
    return subprocess.Popen(
        [str(interpreter("mabwiser")), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(peer: subprocess.Popen[str]) -> dict[str, float]:
    """Let the peer take its turn."""
    assert peer.stdin
    assert peer.stdout
    peer.stdin.write("\n")
    peer.stdin.flush()
    found: dict[str, float] = json.loads(peer.stdout.readline())
    return found


def imported() -> Bar:
    """Import the function that decides in processes of its own, once boto3 is there: what a cold start waits for."""
    program = (
        "import sys, time, boto3, botocore.config, botocore.exceptions; sys.path.insert(0, sys.argv[1]); "
        "started = time.process_time(); import lambdas.experiment.decide; print(time.process_time() - started)"
    )
    command = [sys.executable, "-I", "-c", program, str(Path.cwd())]  # whatever else the shell tells Python
    found = [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(STARTS)]
    print(f"import: {statistics.median(found) * 1e3:.1f} ms (least {min(found) * 1e3:.1f})")
    return Bar(f"import of decide beside boto3's, least of {STARTS}", min(found) * 1e3, 50, False, "ms")


Rounds = list[tuple[dict[str, list[float]], dict[str, float]]]


def against(rounds: Rounds) -> list[Bar]:
    """Hold the rounds' ratios to what is wanted."""
    wanted = {
        "Thompson by choose, standard library": ("thompson", "thompson", 1.0),
        "Thompson by published weights": ("weights", "thompson", 1.0),
        "LinUCB, 50 features": ("lin_ucb", "lin_ucb", 10.0),
        "linear Thompson, 50 features": ("lin_thompson", "lin_thompson", 10.0),
        "one update, 50 features": ("learn", "learn", 50.0),
    }
    return [
        Bar(
            f"{name}, against MABWiser",
            statistics.median(peer[theirs] / statistics.fmean(own[mine]) for own, peer in rounds),
            least,
        )
        for name, (mine, theirs, least) in wanted.items()
    ]


def slowest(rounds: Rounds) -> list[Bar]:
    """Say what 99 of 100 calls keep under, in the least round: what neighbours do to it is no property of the code."""
    found = []
    for name in rounds[0][0]:
        high = [own[name][int(0.99 * CALLS)] for own, _ in rounds]
        means = [statistics.fmean(own[name]) for own, _ in rounds]
        mean, p99 = statistics.median(means), statistics.median(high)
        print(f"{name}: {mean:.1f} µs (least {min(means):.1f}), p99 {p99:.1f} (least {min(high):.1f})")
        found.append(Bar(f"p99 of {name.replace('_', ' ')}, least of {ROUNDS} rounds", min(high), 50, False, "µs"))
    for name in rounds[0][1]:
        print(f"MABWiser {name}: {statistics.median(peer[name] for _, peer in rounds):.1f} µs")
    return found
