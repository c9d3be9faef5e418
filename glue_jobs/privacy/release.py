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
from domain.privacy.release.answers import Noise, Sums, answer
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


def sums_of(frame: DataFrame, dataset: Dataset, questions: Sequence[Question]) -> dict[str, Sums]:
    """Count exactly what questions of the same groups need, by their name; nothing of it may leave without noise."""
    first = questions[0]
    rows = bounded(grouped(frame, first), dataset, first).persist()
    keys = [name(place) for place in range(len(first.by))]
    found = _summed(rows, keys, [question for question in questions if question.kind not in BINNED])
    found |= {question.name: _binned(rows, keys, question) for question in questions if question.kind in BINNED}
    rows.unpersist()
    return found


def parts(question: Question) -> dict[str, Column]:
    """Say what is summed up of a question; rows whose value is missing or no number are in none of it."""
    known = F.lit(True) if question.kind is Kind.COUNT else _known(question)
    found = {"count": F.count_if(known)}
    if question.selects:
        found["subjects"] = F.count_distinct(F.when(known, F.col(SUBJECT)))
    if question.kind in SUMMED:
        found["sum"] = F.sum(F.when(known, steps(question)))
    if question.kind is Kind.VARIANCE:
        found["squares"] = F.sum(F.when(known, steps(question) * steps(question) - F.lit(half_square(question))))
    return found


def _known(question: Question) -> Column:
    value = F.col(str(question.column)).cast("double")
    return value.isNotNull() & ~F.isnan(value)


def _summed(rows: DataFrame, keys: Sequence[str], questions: Sequence[Question]) -> dict[str, Sums]:
    if not questions:
        return {}
    wanted = {question.name: parts(question) for question in questions}
    columns = [column.alias(f"{asked}.{part}") for asked, each in wanted.items() for part, column in each.items()]
    found = rows.groupBy(*keys).agg(*columns).collect()
    return {
        asked: {
            tuple(row[key] for key in keys): {part: [int(row[f"{asked}.{part}"] or 0)] for part in each}
            for row in found
        }
        for asked, each in wanted.items()
    }


def _binned(rows: DataFrame, keys: Sequence[str], question: Question) -> Sums:
    known = rows.where(_known(question)).withColumn("bin", place_of(question))
    found: dict[tuple[str | None, ...], dict[str, list[int]]] = {}
    for row in known.groupBy(*keys, "bin").agg(F.count(F.lit(1)).alias("count")).collect():
        parts = found.setdefault(tuple(row[key] for key in keys), {"bins": [0] * (question.bins + 2)})
        parts["bins"][row["bin"]] = int(row["count"])
    if question.selects:
        for row in known.groupBy(*keys).agg(F.count_distinct(F.col(SUBJECT)).alias("subjects")).collect():
            found[tuple(row[key] for key in keys)]["subjects"] = [int(row["subjects"])]
    return found


def counted(frame: DataFrame, dataset: Dataset, planned: Sequence[Plan]) -> dict[str, Sums]:
    """Count what plans need, those of the same groups together, since bounding a subject's rows is the costly part."""
    together: dict[Any, list[Question]] = {}
    for plan in planned:
        together.setdefault((plan.question.by, plan.question.keys), []).append(plan.question)
    return {asked: sums for each in together.values() for asked, sums in sums_of(frame, dataset, each).items()}


def answered(
    planned: Mapping[str, Plan], ledger: Ledger, count: Callable[[Sequence[Plan]], Mapping[str, Sums]], noise: Noise
) -> dict[str, list[dict[str, Any]]]:
    """Answer questions by digest: charge first, take what was answered before as it is, and keep what is new."""
    ledger.charge(planned)
    found = {digest: ledger.answer(digest) for digest in planned}
    new = {digest: plan for digest, plan in planned.items() if found[digest] is None}
    exact = count(list(new.values())) if new else {}
    made = {digest: ledger.keep(digest, answer(plan, exact[plan.question.name], noise)) for digest, plan in new.items()}
    return found | made


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
    answers = answered(planned, ledger, lambda new: counted(table, dataset, new), noise)
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
