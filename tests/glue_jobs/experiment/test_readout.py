"""The job counts whom it should: by hand on ten rows, and as DuckDB does on many."""

from __future__ import annotations

from datetime import date, timedelta
from functools import reduce
from random import Random

import duckdb
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from domain.events import EVENTS
from domain.experiment import histogram
from domain.experiment.declaration import Arm, Experiment, Kind, Outcome, check
from domain.experiment.statistics import Summary, snapshots
from domain.experiments import CHECKOUT
from domain.tables import CURATED, STATISTICS
from glue_jobs.experiment import readout
from tests.glue_jobs.builders import MORNING, Row, any_event, minutes
from tests.glue_jobs.frames import Lake, dicts, framed
from tests.glue_jobs.tables import BUCKET

pytestmark = pytest.mark.slow

BUYERS = Outcome(name="buyers", event="purchase", kind=Kind.PROPORTION, lookback_days=7)
SPENT = Outcome(name="spent", event="purchase", kind=Kind.MEAN, field="amount", cap=100.0, lookback_days=7)
BASKET = Outcome(
    name="basket", event="purchase", kind=Kind.RATIO, field="amount", denominator_event="purchase", lookback_days=1
)
TYPICAL = Outcome(name="typical", event="purchase", kind=Kind.QUANTILE, field="amount", quantile=0.5)
TRIAL = Experiment(
    name="trial", arms=(Arm(name="control"), Arm(name="new")), primary=BUYERS, secondary=(SPENT, BASKET, TYPICAL)
)
check([TRIAL], EVENTS)


def exposed(user: str, arm: str, at: float = 0.0, experiment: str = "trial") -> Row:
    return any_event("exposure", minutes(at), user_id=user, arm=arm, experiment=experiment)


def bought(user: str, at: float, amount: float = 20.0) -> Row:
    return any_event("purchase", minutes(at), user_id=user, amount=amount)


def statistics(spark: SparkSession, rows: list[Row], experiment: Experiment = TRIAL) -> list[Row]:
    """Sum up events with the job."""
    events = readout.needed({"": experiment})
    tables = {
        event: framed(spark, CURATED[event].columns, [_known(event, row) for row in rows if row["event"] == event])
        for event in events
    }
    found = dicts(readout.transform(tables["exposure"], tables, experiment))
    return [{**row, "experiment": experiment.name, "as_of": MORNING} for row in found]


def _known(event: str, row: Row) -> Row:
    return {column.name: row[column.name] for column in CURATED[event].columns if column.name in row}


def means(rows: list[Row], outcome: str, measure: str = "value", slice_: str = "all") -> dict[str, float]:
    [known] = snapshots(rows)
    return {arm: found.moments.of(measure) for arm, found in known.arms(outcome, slice_).items()}


TEN = [
    any_event("page_view", minutes(-5), user_id="a", device="desktop"),
    exposed("a", "control"),
    exposed("a", "control", 9),  # again: the first one counts
    bought("a", -60, 30.0),  # before: a covariate
    bought("a", 5, 250.0),  # capped at 100
    exposed("b", "new"),
    bought("b", -8 * 24 * 60),  # before the period that is looked back on
    exposed("c", "control"),
    exposed("c", "new", 3),  # saw both
    bought("c", 4),
    bought("d", 4),  # never exposed
    exposed("e", "control", experiment="other"),
    bought("e", 3),
    exposed("f", "gone"),  # an arm that is not declared
    bought("f", 3),
    any_event("page_view", minutes(5), user_id="b", device="tablet"),  # too late to be a slice
]


@pytest.fixture(scope="module")
def ten(spark: SparkSession) -> list[Row]:
    return statistics(spark, TEN)


def test_only_what_follows_the_first_exposure_counts(ten: list[Row]) -> None:
    rows = ten

    assert means(rows, "buyers") == {"control": 1.0, "new": 0.0}
    assert means(rows, "spent") == {"control": 100.0, "new": 0.0}
    assert means(rows, "spent", "covariate") == {"control": 30.0, "new": 0.0}
    assert means(rows, "basket") == {"control": 250.0, "new": 0.0}
    assert means(rows, "basket", "denominator") == {"control": 1.0, "new": 0.0}


def test_units_of_two_arms_of_none_and_of_other_experiments_count_nowhere(ten: list[Row]) -> None:
    [known] = snapshots(ten)

    assert known.arm_to_units == {"control": 1, "new": 1}
    assert known.excluded == 1
    assert {arm: found.moments.count for arm, found in known.arms("buyers").items()} == {"control": 1, "new": 1}


def test_slices_are_what_was_known_before_the_exposure(ten: list[Row]) -> None:
    assert means(ten, "buyers", slice_="device=desktop") == {"control": 1.0}
    assert means(ten, "buyers", slice_="device=unknown") == {"new": 0.0}
    assert means(ten, "buyers", slice_="device=tablet") == {}


def many(seed: int, users: int = 400) -> list[Row]:
    """Shoppers over three days, some of whom see both arms, some none, some buy before, after or at the moment."""
    random, rows = Random(seed), []
    for number in range(users):
        user, at = f"u-{number}", random.randrange(3 * 24 * 60)
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            rows.append(exposed(user, random.choice(("control", "new")), at + random.choice((0, 0, 7))))
        for _ in range(random.choice((0, 0, 1, 3))):
            rows.append(bought(user, at + random.choice((-9000, -3000, -1, 0, 1, 500)), random.lognormvariate(3, 1)))
    return rows


ORACLE = """
WITH exposed AS (
    SELECT user_id, min(event_time) AS exposed_at, min(arm) AS arm, min(event_time)::DATE AS day
    FROM rows WHERE event = 'exposure' GROUP BY user_id HAVING count(DISTINCT arm) = 1
), each AS (
    SELECT e.user_id, e.arm, day,
        least(coalesce(sum(amount) FILTER (p.event_time > exposed_at), 0), 100) AS value,
        least(coalesce(sum(amount) FILTER (
            p.event_time < exposed_at AND p.event_time >= exposed_at - INTERVAL 7 DAYS), 0), 100) AS covariate,
        0.0 AS denominator
    FROM exposed e LEFT JOIN (SELECT * FROM rows WHERE event = 'purchase') p USING (user_id) GROUP BY ALL
)
SELECT arm, day, count(*) AS count, avg(value) AS value, avg(covariate) AS covariate,
    var_pop(value) * count(*) AS value_value, covar_pop(value, covariate) * count(*) AS value_covariate,
    var_pop(covariate) * count(*) AS covariate_covariate
FROM each GROUP BY arm, day
"""


@pytest.fixture(scope="module")
def crowd(spark: SparkSession) -> tuple[list[Row], list[Row]]:
    """Events of many, and the statistics of them."""
    events = many(seed=20260301)
    return events, statistics(spark, events)


def test_the_statistics_are_what_duckdb_makes_of_the_same_rows(crowd: tuple[list[Row], list[Row]]) -> None:
    events, summed = crowd
    rows = pd.DataFrame(events)[["user_id", "event", "event_time", "arm", "amount"]]
    rows["event_time"] = rows["event_time"].dt.tz_localize(None)  # DuckDB's own time zones are an extension
    engine = duckdb.connect()
    engine.register("rows", rows)
    expected = engine.sql(ORACLE).fetchall()

    found = {(row["arm"], row["day"]): row for row in summed if row["outcome"] == "spent" and row["slice"] == "all"}

    assert len(found) == len(expected) >= 6
    for arm, day, *figures in expected:
        row = found[arm, day.isoformat()]
        names = ("count", "value", "covariate", "value_value", "value_covariate", "covariate_covariate")
        assert [row[name] for name in names] == pytest.approx(figures, rel=1e-9)


def test_a_quantile_is_read_from_every_event_after_the_exposure(crowd: tuple[list[Row], list[Row]]) -> None:
    events, summed = crowd
    seen: dict[str, list[Row]] = {row["user_id"]: [] for row in events}
    for row in events:
        if row["event"] == "exposure":
            seen[row["user_id"]].append(row)
    values = [
        row["amount"]
        for row in events
        if row["event"] == "purchase"
        and len({exposure["arm"] for exposure in seen[row["user_id"]]}) == 1
        and row["event_time"] > min(exposure["event_time"] for exposure in seen[row["user_id"]])
    ]

    [known] = snapshots(summed)
    whole = reduce(Summary.__add__, known.arms("typical").values())

    assert whole.histogram == histogram.of_values(values)
    assert whole.moments.count * whole.moments.of("value") == pytest.approx(len(values), rel=1e-12)


def run(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    monkeypatch.setattr(
        "sys.argv", ["readout", "--day", day.isoformat(), "--run", f"readout-{day}", "--bucket", BUCKET]
    )
    readout.main()


def test_each_day_keeps_its_own_statistics_and_may_be_run_again(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, arm = CHECKOUT.name, CHECKOUT.arms[1].name
    monkeypatch.setattr(readout, "EXPERIMENTS", {name: CHECKOUT})
    empty_lake.append(CURATED["exposure"], [_known("exposure", exposed("a", arm, experiment=name))])
    purchases = [bought("a", 10), bought("a", 24 * 60)]
    for day, purchase in zip((MORNING.date(), MORNING.date() + timedelta(days=1)), purchases, strict=True):
        empty_lake.append(CURATED["purchase"], [_known("purchase", purchase)])
        run(monkeypatch, day)
    run(monkeypatch, MORNING.date() + timedelta(days=1))

    known = snapshots([row for row in empty_lake.rows(STATISTICS) if row["experiment"] == name])
    assert [found.as_of for found in known] == [MORNING.date(), MORNING.date() + timedelta(days=1)]
    assert [found.arms("revenue")[arm].moments.of("value") for found in known] == [20.0, 40.0]
    assert all(found.arm_to_units == {arm: 1} for found in known)
