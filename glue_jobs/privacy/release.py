"""Answer a dataset's questions under differential privacy: count in Spark, charge, then add noise to the few sums."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import boto3
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from domain.privacy.audit import Act, line
from domain.privacy.release import plan as planning
from domain.privacy.release.answers import Sums, answer
from domain.privacy.release.declaration import BINNED, SUMMED, Dataset, Kind, Question, RefusedRelease, check
from domain.privacy.release.ledger import digest, left, place
from domain.privacy.release.plan import Plan, half_square, plans
from domain.releases import RELEASES
from glue_jobs import lake
from glue_jobs.accounts import put, tell
from glue_jobs.arguments import Arguments
from glue_jobs.privacy.ledger import Ledger
from glue_jobs.privacy.noise import OpenDP

JOINT = "\x1f"  # between the parts of a key: the unit separator, which no word holds
SUBJECT = "subject of the row"


def grouped(frame: DataFrame, question: Question) -> DataFrame:
    """Leave the rows of groups that are asked for, with the parts of their key as text."""
    keys = {name(place): F.col(column).cast("string") for place, column in enumerate(question.by)}
    named = frame.withColumns(keys) if keys else frame
    if question.keys is None:
        return named
    # Before rows are bounded, since a row in a group that nobody asks for must not push out another.
    wanted = [JOINT.join(str(part) for part in key) for key in question.keys]
    return named.where(F.concat_ws(JOINT, *keys).isin(wanted))


def name(place: int) -> str:
    """Name a part of the key apart from the table's own columns."""
    return f"key {place}"


def bounded(frame: DataFrame, dataset: Dataset, question: Question) -> DataFrame:
    """Leave of each subject so many rows in so many groups as the dataset allows, drawn by a hash.

    Which rows of a subject stay depends on its own rows alone; so to add or remove a person changes nobody else's.
    """
    keys = [F.col(name(place)) for place in range(len(question.by))]
    rows = frame.where(F.col(dataset.subject).isNotNull()).withColumn(SUBJECT, F.col(dataset.subject))
    lot = [F.xxhash64(SUBJECT, F.col(dataset.row)), F.col(dataset.row)]
    within = Window.partitionBy(SUBJECT, *keys).orderBy(*lot)
    kept = rows.withColumn("lot", F.row_number().over(within)).where(F.col("lot") <= dataset.rows_per_subject)
    if not keys:
        return kept.drop("lot")
    among = Window.partitionBy(SUBJECT).orderBy(F.xxhash64(SUBJECT, *keys), *keys)
    kept = kept.withColumn("lot", F.dense_rank().over(among)).where(F.col("lot") <= dataset.groups_per_subject)
    return kept.drop("lot")


def steps(question: Question) -> Column:
    """Count a value in whole steps, from nought for a sum and else from the middle; beyond the bounds as the bounds."""
    start = 0.0 if question.kind is Kind.SUM else question.middle
    held = F.greatest(F.least(F.col(str(question.column)).cast("double"), F.lit(question.upper)), F.lit(question.lower))
    return F.round((held - F.lit(start)) / F.lit(question.step)).cast("bigint")


def place_of(question: Question) -> Column:
    """Number a value's bin: 0 lies below the first edge, the last one from the last edge on."""
    value = (F.col(str(question.column)).cast("double") - F.lit(question.lower)) / F.lit(question.width)
    held = F.greatest(F.least(F.floor(value), F.lit(question.bins)), F.lit(-1))
    return (held + 1).cast("int")


def sums(frame: DataFrame, dataset: Dataset, question: Question) -> Sums:
    """Count exactly what a question needs, by group; nothing of it may leave the job without noise."""
    rows = bounded(grouped(frame, question), dataset, question)
    keys = [name(place) for place in range(len(question.by))]
    if question.kind is not Kind.COUNT:
        value = F.col(str(question.column)).cast("double")
        rows = rows.where(value.isNotNull() & ~F.isnan(value))
    if question.kind in BINNED:
        return _binned(rows, keys, question)
    wanted = {"count": F.count(F.lit(1)), "subjects": F.count_distinct(F.col(SUBJECT))}
    if question.kind in SUMMED:
        wanted["sum"] = F.sum(steps(question))
    if question.kind is Kind.VARIANCE:
        wanted["squares"] = F.sum(steps(question) * steps(question) - F.lit(half_square(question)))
    found = rows.groupBy(*keys).agg(*(column.alias(part) for part, column in wanted.items())).collect()
    return {tuple(row[key] for key in keys): {part: [int(row[part] or 0)] for part in wanted} for row in found}


def _binned(rows: DataFrame, keys: Sequence[str], question: Question) -> Sums:
    placed = rows.withColumn("bin", place_of(question)).groupBy(*keys, "bin").agg(F.count(F.lit(1)).alias("count"))
    found: dict[tuple[str | None, ...], dict[str, list[int]]] = {}
    for row in placed.collect():
        key = tuple(row[key] for key in keys)
        bins = found.setdefault(key, {"bins": [0] * (question.bins + 2)})["bins"]
        bins[row["bin"]] = int(row["count"])
    if question.selects:
        for row in rows.groupBy(*keys).agg(F.count_distinct(F.col(SUBJECT)).alias("subjects")).collect():
            found[tuple(row[key] for key in keys)]["subjects"] = [int(row["subjects"])]
    return found


def answered(
    planned: Mapping[str, Plan], ledger: Ledger, count: Callable[[Plan], Sums], noise: OpenDP
) -> dict[str, list[dict[str, Any]]]:
    """Answer questions by digest: charge first, take what was answered before as it is, and keep what is new."""
    ledger.charge(planned)
    found = {name: ledger.answer(name) for name in planned}
    return {
        name: known if known is not None else ledger.keep(name, answer(planned[name], count(planned[name]), noise))
        for name, known in found.items()
    }


def published(planned: Mapping[str, Plan], answers: Mapping[str, Any], epsilon: float) -> dict[str, Any]:
    """Describe a release as it is published."""
    dataset = next(iter(planned.values())).dataset
    return {
        "dataset": dataset.name,
        "epsilon": epsilon,
        "delta": dataset.delta,
        "unit": f"all rows of one {dataset.subject}",
        "confidence": 1 - planning.BETA,
        "questions": [
            {"question": plan.question.name, "kind": plan.question.kind.value, "digest": key, "rows": answers[key]}
            for key, plan in planned.items()
        ],
    }


def asked(argv: Sequence[str] | None = None) -> tuple[Dataset, float]:
    """Read which dataset is asked for, and at what epsilon."""
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--epsilon", type=float, required=True)
    known, _ = parser.parse_known_args(argv)
    if known.dataset not in RELEASES:
        raise RefusedRelease("dataset", known.dataset, f"there are {', '.join(RELEASES)} (domain/releases.py)")
    return RELEASES[known.dataset], known.epsilon


def main() -> None:
    """Release one dataset's answers of the rows up to the end of the day; a refusal comes before Spark starts."""
    arguments, (dataset, epsilon) = Arguments.read(), asked()
    check([dataset])
    planned = {digest(plan, arguments.day): plan for plan in plans(dataset, epsilon)}
    ledger = Ledger(dataset)
    charged = ledger.charge(planned)
    spark = lake.session()
    lake.spread(spark, lake.rows(spark, dataset.table))
    table = spark.table(lake.name(dataset.table)).where(F.col(dataset.time) < F.lit(arguments.until))
    noise = OpenDP(dataset.accounting)
    answers = answered(planned, ledger, lambda plan: sums(table, dataset, plan.question), noise)
    key = place(dataset, arguments.day, epsilon)
    put(arguments.bucket, key, {**published(planned, answers, epsilon), "day": arguments.day.isoformat()})
    rest = left(dataset, ledger.spent())
    now = datetime.now(timezone.utc)
    print(line(Act.RELEASE, who=caller(), at=now, run=arguments.run, dataset=dataset.name, epsilon=epsilon))
    tell(arguments, "release", {"key": key, "epsilon": epsilon, "charged": charged.loss, "left": rest})


def caller() -> str:
    """Say whose credentials are at work; who started the run is in CloudTrail under its id."""
    return str(boto3.client("sts").get_caller_identity()["Arn"])


if __name__ == "__main__":
    main()
