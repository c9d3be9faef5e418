"""Join exposures to outcomes and sum them up by arm, so that every reading follows without the users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def sums(units: DataFrame, events: DataFrame, unit: str, wanted: Mapping[str, Column]) -> DataFrame:
    """Sum up each exposed unit's events; `wanted` sees the columns of the event and `exposed_at`."""
    joined = events.drop("arm").join(units.select(F.col("unit").alias(unit), "exposed_at"), unit)
    return joined.groupBy(F.col(unit).alias("unit")).agg(*(F.sum(what).alias(name) for name, what in wanted.items()))


def measures(experiment: Experiment) -> dict[str, dict[str, Column]]:
    """Say what is summed of each event, by column: only what follows the exposure, and for covariates what precedes."""
    found: dict[str, dict[str, Column]] = {}
    after = F.col("event_time") > F.col("exposed_at")
    for outcome in experiment.outcomes:
        value = Source(outcome.event, None if outcome.kind is Kind.QUANTILE else outcome.field)
        columns = found.setdefault(outcome.event, {})
        columns[f"{outcome.name}.value"] = F.when(after, value.amount)
        if outcome.lookback_days:
            columns[f"{outcome.name}.covariate"] = F.when(_before(outcome), value.amount)
        if outcome.denominator_event:
            below = Source(outcome.denominator_event, outcome.denominator_field)
            found.setdefault(below.event, {})[f"{outcome.name}.denominator"] = F.when(after, below.amount)
    return found


def _before(outcome: Outcome) -> Column:
    start = F.col("exposed_at") - F.expr(f"INTERVAL {outcome.lookback_days} DAYS")
    return (F.col("event_time") < F.col("exposed_at")) & (F.col("event_time") >= start)


def measured(units: DataFrame, tables: Mapping[str, DataFrame], experiment: Experiment) -> DataFrame:
    """Give each unit, also one that did nothing, its measures of each outcome."""
    parts = [sums(units, tables[event], experiment.unit, wanted) for event, wanted in measures(experiment).items()]
    wide = reduce(lambda left, right: left.join(right, "unit", "left"), parts, units)
    kept = [column for column in wide.columns if "." not in column]
    return wide.select(
        *kept,
        *(
            _settled(outcome, measure, wide.columns).alias(f"{outcome.name}.{measure}")
            for outcome in experiment.outcomes
            for measure in MEASURES
        ),
    )


def _settled(outcome: Outcome, measure: str, there: Sequence[str]) -> Column:
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


def sliced(units: DataFrame, pages: DataFrame, unit: str) -> DataFrame:
    """Repeat each unit for every slice that it is in: all, and what its last page view before said of it."""
    before = F.col("event_time") < F.col("exposed_at")
    last = (
        pages.join(units.select(F.col("unit").alias(unit), "exposed_at"), unit)
        .where(before)
        .groupBy(F.col(unit).alias("unit"))
        .agg(*(F.max_by(name, "event_time").alias(f"last_{name}") for name in SLICES))
    )
    of = [F.concat(F.lit(f"{name}="), F.coalesce(f"last_{name}", F.lit(UNKNOWN))) for name in SLICES]
    known = units.join(last, "unit", "left").withColumn("slice", F.explode(F.array(F.lit(EVERYONE), *of)))
    return known.drop(*(f"last_{name}" for name in SLICES))


def summed(units: DataFrame, outcome: Outcome) -> DataFrame:
    """Sum up an outcome over the units of each arm, day and slice, about the means."""
    at = {measure: F.col(f"`{outcome.name}.{measure}`") for measure in MEASURES}
    return (
        units.groupBy("arm", "day", "slice")
        .agg(
            F.count(F.lit(1)).alias("count"),
            *(F.avg(at[measure]).alias(measure) for measure in MEASURES),
            # Spark merges covariances about their means (Chan, Golub and LeVeque 1983), so that none cancels.
            *((F.covar_pop(at[one], at[two]) * F.count(F.lit(1))).alias(f"{one}_{two}") for one, two in PRODUCTS),
        )
        .withColumn("outcome", F.lit(outcome.name))
    )


def counted(units: DataFrame) -> DataFrame:
    """Count units by arm and day, those that saw several arms under none."""
    nothing = [F.lit(0.0).alias(name) for name in (*MEASURES, *(f"{one}_{two}" for one, two in PRODUCTS))]
    counts = units.groupBy("arm", "day").agg(F.count(F.lit(1)).alias("count"))
    none = F.lit(None).cast("string").alias("outcome")
    return counts.select("arm", "day", F.lit(EVERYONE).alias("slice"), "count", *nothing, none)


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
    single = units.where(F.col("arm").isNotNull())
    pages = tables["page_view"]
    known = sliced(measured(single, tables, experiment), pages, experiment.unit).persist()
    parts = [counted(units).withColumn("histogram", F.lit(None).cast("string"))]
    for outcome in experiment.outcomes:
        part = summed(known, outcome)
        if outcome.kind is Kind.QUANTILE:
            values = histograms(known, tables[outcome.event], outcome, experiment.unit)
            part = part.join(values, ["arm", "day", "slice"], "left")
        else:
            part = part.withColumn("histogram", F.lit(None).cast("string"))
        parts.append(part)
    return reduce(lambda one, other: one.unionByName(other), parts)


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
    frames = [
        transform(tables["exposure"], tables, experiment).withColumn("experiment", F.lit(experiment.name))
        for experiment in EXPERIMENTS.values()
    ]
    found = reduce(DataFrame.unionByName, frames).withColumn("as_of", F.lit(as_of))
    columns = [F.col(column.name).cast(KINDS[column.kind].glue) for column in STATISTICS.columns]
    found.select(*columns).writeTo(lake.name(STATISTICS)).overwrite(F.col("as_of") == F.lit(as_of))
    tell(arguments, "readout", {"experiments": len(EXPERIMENTS), "statistics": lake.rows(spark, STATISTICS)})


if __name__ == "__main__":
    main()
