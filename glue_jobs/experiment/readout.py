"""Join exposures to outcomes and sum them up by arm, so that every reading follows without the users."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timezone
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from domain.experiment.declaration import Experiment, Kind, Outcome
from domain.experiments import EXPERIMENTS
from domain.schema import KINDS
from domain.tables import CURATED, STATISTICS
from glue_jobs import lake
from glue_jobs.accounts import tell
from glue_jobs.arguments import Arguments

MEASURES = ("value", "denominator", "covariate")
PRODUCTS = tuple((one, two) for place, one in enumerate(MEASURES) for two in MEASURES[place:])
SLICES = ("device", "country")
"""What a unit's last page view before its exposure said of it: nothing that the arm can have changed."""

EVERYONE, UNKNOWN = "all", "unknown"
PAGE = "page_view"
OFFSET = 1_000_000  # codes of buckets as domain.experiment.histogram has them, whose packages a Glue job lacks
WIDTH = 1e-3


@dataclass(frozen=True, slots=True)
class Source:
    """What is summed of an event: a field of it, or how many there are."""

    event: str
    field: str | None

    @property
    def amount(self) -> Column:
        """What one event adds."""
        return F.lit(1.0) if self.field is None else F.col(self.field).cast("double")


def first_exposures(exposures: DataFrame, experiment: Experiment) -> DataFrame:
    """Say of each unit when it was first exposed and to which arm; to none if it ever saw several."""
    known = F.col("arm").isin([arm.name for arm in experiment.arms])
    arm = F.when(F.min("arm") == F.max("arm"), F.min("arm")).alias("arm")
    return (
        exposures.where((F.col("experiment") == experiment.name) & known)
        .groupBy(F.col(experiment.unit).alias("unit"))
        .agg(F.min("event_time").alias("exposed_at"), arm)
        .withColumn("day", F.date_format("exposed_at", "yyyy-MM-dd"))
    )


def sources(outcome: Outcome) -> dict[str, Source]:
    """Say what is summed of which event, by measure; a quantile's values are counted elsewhere."""
    value = Source(outcome.event, None if outcome.kind is Kind.QUANTILE else outcome.field)
    found = {"value": value, "covariate": value} if outcome.lookback_days else {"value": value}
    if outcome.denominator_event:
        found["denominator"] = Source(outcome.denominator_event, outcome.denominator_field)
    return found


def told(tables: Mapping[str, DataFrame], experiment: Experiment) -> DataFrame:
    """Put all events that say something of a unit under each other: whose, when, which, and their fields."""
    event_to_fields: dict[str, set[str]] = {PAGE: set()}
    for source in (source for outcome in experiment.outcomes for source in sources(outcome).values()):
        event_to_fields.setdefault(source.event, set()).update([source.field] if source.field else [])
    parts = [
        tables[event].select(
            F.col(experiment.unit).alias("unit"),
            "event_time",
            F.lit(event).alias("event"),
            *(F.col(field).cast("double").alias(field) for field in sorted(fields)),
            *(SLICES if event == PAGE else ()),
        )
        for event, fields in sorted(event_to_fields.items())
    ]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)


def measured(units: DataFrame, events: DataFrame, experiment: Experiment) -> DataFrame:
    """Give each unit, also one that did nothing, its measures of each outcome and its slices.

    Only what follows the exposure is measured, for covariates what precedes it.
    """
    wanted = {
        f"{outcome.name}.{measure}": F.sum(F.when(_counts(outcome, measure, source), source.amount))
        for outcome in experiment.outcomes
        for measure, source in sources(outcome).items()
    }
    before = F.when((F.col("event") == PAGE) & (F.col("event_time") < F.col("exposed_at")), F.col("event_time"))
    last = {name: F.max_by(name, before) for name in SLICES}
    wide = (
        units.join(events, "unit", "left")
        .groupBy("unit", "arm", "day", "exposed_at")
        .agg(*(what.alias(name) for name, what in {**wanted, **last}.items()))
    )
    return wide.select(
        *units.columns,
        *SLICES,
        *(
            _settled(outcome, measure, wanted.keys()).alias(f"{outcome.name}.{measure}")
            for outcome in experiment.outcomes
            for measure in MEASURES
        ),
    )


def _counts(outcome: Outcome, measure: str, source: Source) -> Column:
    """Say whether an event counts for a measure."""
    moment, exposed = F.col("event_time"), F.col("exposed_at")
    when = moment > exposed
    if measure == "covariate":
        when = (moment < exposed) & (moment >= exposed - F.expr(f"INTERVAL {outcome.lookback_days} DAYS"))
    return (F.col("event") == source.event) & when


def _settled(outcome: Outcome, measure: str, there: Collection[str]) -> Column:
    """Make a sum the unit's measure: nought without events, one for a unit that converted, capped as declared."""
    name = f"{outcome.name}.{measure}"
    if name not in there:
        return F.lit(0.0)
    value = F.coalesce(F.col(f"`{name}`"), F.lit(0.0))
    if measure == "denominator":
        return value
    if outcome.kind is Kind.PROPORTION:
        return (value > 0).cast("double")
    return value if outcome.cap is None else F.least(value, F.lit(outcome.cap))


def sliced(units: DataFrame) -> DataFrame:
    """Repeat each unit for every slice that it is in: all, and what its last page view before said of it."""
    of = [F.concat(F.lit(f"{name}="), F.coalesce(name, F.lit(UNKNOWN))) for name in SLICES]
    return units.withColumn("slice", F.explode(F.array(F.lit(EVERYONE), *of))).drop(*SLICES)


def summed(units: DataFrame, outcomes: Sequence[Outcome]) -> DataFrame:
    """Sum up all outcomes over the units of each arm, day and slice, about the means, and count the units.

    Units that saw several arms are counted under none, and no outcome of theirs is.
    """
    totals = [F.count(F.lit(1)).alias("count")]
    for outcome in outcomes:
        # A measure that the outcome lacks is nought: to sum it all the same would cost nearly as much as the others.
        at = {measure: F.col(f"`{outcome.name}.{measure}`") for measure in sources(outcome)}
        means = [(F.avg(at[measure]) if measure in at else F.lit(0.0)).alias(measure) for measure in MEASURES]
        products = [_product(at.get(one), at.get(two)).alias(f"{one}_{two}") for one, two in PRODUCTS]
        totals.append(F.struct(F.lit(outcome.name).alias("outcome"), *means, *products).alias(f"of {outcome.name}"))
    nothing = [F.lit(0.0).alias(name) for name in (*MEASURES, *(f"{one}_{two}" for one, two in PRODUCTS))]
    counted = F.struct(F.lit(None).cast("string").alias("outcome"), *nothing)
    every = F.explode(F.array(counted, *(F.col(f"`of {outcome.name}`") for outcome in outcomes))).alias("summed")
    found = units.groupBy("arm", "day", "slice").agg(*totals).select("arm", "day", "slice", "count", every)
    is_count = F.col("summed.outcome").isNull()
    return found.where(F.when(is_count, F.col("slice") == EVERYONE).otherwise(F.col("arm").isNotNull())).select(
        "arm", "day", "slice", "count", "summed.*"
    )


def _product(one: Column | None, two: Column | None) -> Column:
    """Sum the product of two measures about their means (Chan, Golub and LeVeque 1983, as Spark merges them)."""
    if one is None or two is None:
        return F.lit(0.0)
    return F.covar_pop(one, two) * F.count(F.lit(1))


def bucket(value: Column) -> Column:
    """Give a value its bucket, as `domain.experiment.histogram.codes` does."""
    magnitude = F.floor(F.log(F.abs(value)) / F.log1p(F.lit(WIDTH))) + OFFSET
    return F.when(value > 0, magnitude).when(value < 0, -magnitude).otherwise(F.lit(0))


def histograms(units: DataFrame, events: DataFrame, outcome: Outcome, unit: str) -> DataFrame:
    """Count the values of a quantile's events by bucket, for each arm, day and slice."""
    known = units.select(F.col("unit").alias(unit), "exposed_at", "arm", "day", "slice")
    value = F.col(str(outcome.field)).cast("double")
    value = value if outcome.cap is None else F.least(value, F.lit(outcome.cap))
    pair = F.struct(F.col("bucket").cast("string"), F.col("events"))
    return (
        events.drop("arm")
        .join(known, unit)
        .where((F.col("event_time") > F.col("exposed_at")) & ~F.isnan(value))
        .groupBy("arm", "day", "slice", bucket(value).alias("bucket"))
        .agg(F.count(F.lit(1)).alias("events"))
        .groupBy("arm", "day", "slice")
        .agg(F.to_json(F.map_from_entries(F.collect_list(pair))).alias("histogram"))
    )


def transform(exposures: DataFrame, tables: Mapping[str, DataFrame], experiment: Experiment) -> DataFrame:
    """Sum up one experiment: rows of the table of statistics without `experiment` and `as_of`."""
    tables = {name: _own(table, experiment) for name, table in tables.items()}
    units = first_exposures(exposures, experiment)
    known = sliced(measured(units, told(tables, experiment), experiment))
    quantiles = [outcome for outcome in experiment.outcomes if outcome.kind is Kind.QUANTILE]
    if not quantiles:
        return summed(known, experiment.outcomes).withColumn("histogram", F.lit(None).cast("string"))
    known = known.persist()
    values = [
        histograms(known, tables[outcome.event], outcome, experiment.unit).withColumn("outcome", F.lit(outcome.name))
        for outcome in quantiles
    ]
    key = ["arm", "day", "slice", "outcome"]
    return summed(known, experiment.outcomes).join(reduce(DataFrame.unionByName, values), key, "left")


def _own(table: DataFrame, experiment: Experiment) -> DataFrame:
    """Leave out the rewards and exposures of other experiments."""
    return table.where(F.col("experiment") == experiment.name) if "experiment" in table.columns else table


def needed(experiments: Mapping[str, Experiment]) -> set[str]:
    """Name the events that the experiments are read from."""
    outcomes = [outcome for experiment in experiments.values() for outcome in experiment.outcomes]
    below = {outcome.denominator_event for outcome in outcomes if outcome.denominator_event}
    return {"page_view", "exposure", *(outcome.event for outcome in outcomes), *below}


def main() -> None:
    """Sum up every declared experiment as of the end of the day, in the place of what that day had, in one commit."""
    arguments, spark = Arguments.read(), lake.session()
    names = sorted(needed(EXPERIMENTS))
    lake.spread(spark, sum(lake.rows(spark, CURATED[name]) for name in names))
    until = F.col("event_time") < F.lit(arguments.until)
    tables = {name: spark.table(lake.name(CURATED[name])).where(until) for name in names}
    as_of = datetime.combine(arguments.day, time(), timezone.utc)
    seen = {row["experiment"] for row in tables["exposure"].select("experiment").distinct().collect()}
    shown = [experiment for experiment in EXPERIMENTS.values() if experiment.name in seen]
    frames = [
        transform(tables["exposure"], tables, experiment).withColumn("experiment", F.lit(experiment.name))
        for experiment in shown or [next(iter(EXPERIMENTS.values()))]  # no unit was exposed: one has no rows
    ]
    found = reduce(DataFrame.unionByName, frames).withColumn("as_of", F.lit(as_of))
    columns = [F.col(column.name).cast(KINDS[column.kind].glue) for column in STATISTICS.columns]
    found.select(*columns).writeTo(lake.name(STATISTICS)).overwrite(F.col("as_of") == F.lit(as_of))
    tell(arguments, "readout", {"experiments": len(EXPERIMENTS), "statistics": lake.rows(spark, STATISTICS)})


if __name__ == "__main__":
    main()
