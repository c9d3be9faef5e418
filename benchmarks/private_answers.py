"""Whether noisy answers are as near as they promise, and whether they hide a person: by what comes out of the release.

10,000 answers of each kind, by the product's own code with OpenDP's noise, which takes no seed: bands are so wide that
an honest mechanism falls out of one once in ten thousand runs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from moto.server import ThreadedMotoServer
from scipy.stats import beta

from benchmarks.bars import Bar
from domain.privacy.release import accounting as losses
from domain.privacy.release import ledger as rules
from domain.privacy.release.answers import Sums, answer, exact, scores
from domain.privacy.release.declaration import Accounting, Dataset, Kind, Question
from domain.privacy.release.ledger import BudgetExceeded
from domain.privacy.release.plan import BETA, Plan, half_square, level, plan, plans, total_loss
from domain.tables import SESSIONS
from glue_jobs.privacy.ledger import Ledger
from glue_jobs.privacy.noise import OpenDP
from local import dynamodb
from local.cloud import Cloud

RUNS = 10_000
ROWS = 4_000
SURE = 1e-4
"""How often an honest mechanism may fall out of a band."""

KEYS = (("DE",), ("FR",), ("IT",))
EPSILON = 1.0
NOBODY: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
ATTEMPTS, FIT = 1_000, 25


def question(kind: Kind, **fields: Any) -> Question:
    """Ask something of a session's events."""
    known: dict[str, Any] = {"name": kind.value, "column": "events", "upper": 60.0, "bins": 12, "quantile": 0.9}
    return Question(kind=kind, **{**known, **fields})


QUESTIONS = (
    *map(question, Kind),
    question(Kind.COUNT, name="count by group", by=("country",), keys=KEYS),
    question(Kind.MEAN, name="mean by found group", by=("country",)),
)


def dataset(accounting: Accounting, *questions: Question) -> Dataset:
    """Declare sessions of which a subject counts with three in each of two groups."""
    return Dataset(
        name="bench",
        table=SESSIONS,
        row="session_id",
        time="started_at",
        rows_per_subject=3,
        groups_per_subject=2,
        about=ROWS,
        epsilon=8.0,
        delta=1e-6,
        questions=questions,
        accounting=accounting,
    )


def counted(asked: Question, values: Sequence[float], subjects: int) -> dict[str, Sequence[int]]:
    """Count values as the job does."""
    start = 0.0 if asked.kind is Kind.SUM else asked.middle
    steps = [round((value - start) / asked.step) for value in values]
    places = np.clip(np.floor((np.asarray(values) - asked.lower) / asked.width), -1, asked.bins).astype(int) + 1
    squares = sum(step**2 - half_square(asked) for step in steps)
    bins = np.bincount(places, minlength=asked.bins + 2).tolist()
    return {"count": [len(values)], "sum": [sum(steps)], "squares": [squares], "bins": bins, "subjects": [subjects]}


def sums(asked: Question, extra: Sequence[float] = ()) -> Sums:
    """Count a table of sessions, in each group the same; `extra` are one more person's, in the first two groups."""
    values = [float(place * 7 % 60) for place in range(ROWS)]
    keys: Sequence[tuple[str, ...]] = KEYS if asked.by else ((),)
    return {
        key: counted(asked, [*values, *(extra if place < 2 else ())], 2_000 + (place < 2 and bool(extra)))
        for place, key in enumerate(keys)
    }


def off(asked: Question, truth: Sums, row: Mapping[str, Any], place: int) -> float:
    """Measure by how much a row is off."""
    key = tuple(row["key"].values())
    if asked.kind is Kind.QUANTILE:
        reached = scores(asked, truth[key]["bins"])
        return (max(reached) - reached[asked.edges.index(row["value"])]) / level(asked).denominator
    if asked.kind is Kind.HISTOGRAM:
        return float(abs(row["value"] - truth[key]["bins"][place]))
    return abs(float(row["value"]) - float(exact(asked, truth, key) or 0.0))


def coverage() -> Iterator[Bar]:
    """Count how many of 10,000 answers of each kind lie within the error that they state."""
    for accounting in Accounting:
        for planned in plans(dataset(accounting, *QUESTIONS), EPSILON * 4):
            asked, truth, noise = planned.question, sums(planned.question), OpenDP(accounting)
            kept = [  # one cell an answer: those of one answer are independent, but it is answers that are counted
                off(asked, truth, rows[run % len(rows)], run % len(rows)) <= rows[run % len(rows)]["error"]
                for run in range(RUNS)
                if (rows := answer(planned, truth, noise))
            ]
            least = 1 - BETA - losses.NORMAL.inv_cdf(1 - SURE) * math.sqrt(BETA * (1 - BETA) / len(kept))
            yield Bar(f"{accounting.value} {asked.name}: within the error", 100 * np.mean(kept), 100 * least, unit="%")


def worst(asked: Question) -> tuple[float, ...]:
    """Give the person that moves the answer most."""
    return (60.0,) * 3 if asked.kind is not Kind.QUANTILE else (59.0,) * 3


def outcomes(planned: Plan, truth: Sums, runs: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Answer again and again, each time one number that an attacker would look at: the person's own cells."""
    noise, found = OpenDP(planned.dataset.accounting), np.empty(runs)
    for run in range(runs):
        rows = answer(planned, truth, noise)
        cells = rows[-1:] if planned.question.kind is Kind.HISTOGRAM else rows[:2]
        found[run] = sum(float(row["value"] or 0) for row in cells)
    return found


def proved(here: Any, there: Any, delta: float) -> float:
    """Prove a lower bound of epsilon from answers with and without a person (Jagielski, Ullman, Oprea 2020).

    The threshold is chosen on the first half of the answers and tried on the second, by Clopper and Pearson's bounds.
    """
    half = len(here) // 2
    tried = np.quantile(np.concatenate([here[:half], there[:half]]), np.linspace(0.02, 0.98, 49))
    found = 0.0
    for sign in (1, -1):
        for one, other in ((here, there), (there, here)):
            best = max(tried, key=lambda cut: _epsilon(sign, one[:half], other[:half], cut, delta))
            found = max(found, _epsilon(sign, one[half:], other[half:], best, delta))
    return found


def _epsilon(sign: int, one: Any, other: Any, cut: float, delta: float) -> float:
    hits, false = int((sign * one > sign * cut).sum()), int((sign * other > sign * cut).sum())
    runs, each = len(one), SURE / 4
    low = beta.ppf(each, hits, runs - hits + 1) if hits else 0.0
    high = beta.ppf(1 - each, false + 1, runs - false) if false < runs else 1.0
    return math.log((low - delta) / high) if low > delta else 0.0


def distinguishing() -> Iterator[Bar]:
    """Try to tell whether a person is in the data; and see that the same test catches noise that is too small."""
    delta = 1e-5
    for accounting in Accounting:
        weak = []
        for asked in QUESTIONS:
            of = dataset(accounting, asked)
            planned = plan(of, asked, EPSILON if accounting is Accounting.APPROXIMATE else 0.1)
            pure = accounting is Accounting.APPROXIMATE
            stated = planned.loss if pure else losses.epsilon_of_zcdp(planned.loss, delta)
            pair = sums(asked), sums(asked, worst(asked))
            found = proved(*both(planned, pair), planned.delta if pure else delta)
            yield Bar(f"{accounting.value} {asked.name}: epsilon told apart", found, stated, at_least=False, unit="")
            if asked.kind in (Kind.COUNT, Kind.SUM) and not asked.by:
                weak.append(proved(*both(weakened(planned), pair), delta) / stated)
        yield Bar(f"{accounting.value}: an eighth of the noise is caught (least epsilon / stated)", min(weak), 1)


def both(planned: Plan, pair: tuple[Sums, Sums]) -> tuple[Any, Any]:
    """Answer without a person and with."""
    return outcomes(planned, pair[0], RUNS), outcomes(planned, pair[1], RUNS)


def weakened(planned: Plan) -> Plan:
    """Take an eighth of the noise for the price of the whole, as a faulty release would."""
    parts = tuple(replace(part, scale=part.scale / 8, loss=part.loss * 100) for part in planned.parts)
    return replace(planned, parts=parts)


def spending() -> Iterator[Bar]:
    """Let 1,000 ask at once for what a budget holds 25 times."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    dynamodb.install(Cloud(0, Path("unused")))
    host, port = server.get_host_and_port()
    client = boto3.client("dynamodb", endpoint_url=f"http://{host}:{port}", **NOBODY)
    client.create_table(
        TableName=rules.TABLE,
        KeySchema=[{"AttributeName": "dataset", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("dataset", "item")],
        BillingMode="PAY_PER_REQUEST",
    )
    of = dataset(Accounting.ZCDP, question(Kind.COUNT))
    ledger = Ledger(of, client=lambda: client)
    ended = at_once(lambda number: ledger.charge(asking(of, number)))
    granted, spent = sum(ended), ledger.spent()
    server.stop()
    yield Bar(f"of {ATTEMPTS} at once, granted", granted, FIT, unit="")
    yield Bar(f"of {ATTEMPTS} at once, granted", granted, FIT, at_least=False, unit="")
    yield Bar("share of the budget spent then", 100 * spent.loss / rules.budget(of).loss, 100, at_least=False, unit="%")


def asking(of: Dataset, number: int) -> dict[str, Plan]:
    """Plan a question that nobody else asks."""
    planned = plan(of, question(Kind.SUM, name=f"q{number}", upper=60.0 + number), total_loss(of) / FIT)
    return {rules.digest(planned, date(2026, 3, 2)): planned}


def at_once(ask: Callable[[int], Any]) -> list[bool]:
    """Ask from many threads; tell which were granted."""

    def tried(number: int) -> bool:
        try:
            ask(number)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        return list(pool.map(tried, range(ATTEMPTS)))
