"""Publish a table with each person in a group: count in Spark, group what was counted, write what each group shows."""

from __future__ import annotations

import io
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from domain.privacy.anonymize.declaration import Cover, Publication, RefusedPublication, check
from domain.privacy.anonymize.detect import identifiers
from domain.privacy.anonymize.hierarchy import Codes, Numbers
from domain.privacy.anonymize.publish import group, report
from domain.privacy.audit import Act, line
from domain.publications import PUBLICATIONS
from glue_jobs import lake
from glue_jobs.accounts import put, s3, tell
from glue_jobs.arguments import Arguments
from glue_jobs.privacy.release import caller

SAMPLE = 10_000  # texts of a column that are looked at for identifiers
ROWS_A_FILE = 1_000_000
COUNT, GROUP = "people in it", "group of it"
WRITTEN = "key string, rows bigint"


def newest(table: DataFrame, publication: Publication) -> DataFrame:
    """Leave one row of each person, so that a group of k rows is a group of k people."""
    subject = publication.table.subject
    if subject is None:
        return table
    last = Window.partitionBy(subject).orderBy(F.col(publication.newest).desc(), F.xxhash64(*table.columns))
    known = table.where(F.col(subject).isNotNull())
    return known.withColumn(COUNT, F.row_number().over(last)).where(F.col(COUNT) == 1).drop(COUNT)


def usable(table: DataFrame, publication: Publication) -> DataFrame:
    """Leave out who lacks a finite number among what others may know: a range of nothing cannot be published."""
    numbers = [name for name, hierarchy in publication.quasi.items() if isinstance(hierarchy, Numbers)]
    for name in numbers:
        value = F.col(name).cast("double")
        table = table.where(value.isNotNull() & ~F.isnan(value) & (F.abs(value) != F.lit(float("inf"))))
    return table


def bins(publication: Publication) -> dict[str, Column]:
    """Say as what each sensitive field is compared: a number by the edges below it, anything else as it is."""
    return {
        name: (sum((F.col(name) >= edge).cast("int") for edge in wanted.edges) if wanted.edges else F.col(name)).alias(
            f"compared {name}"
        )
        for name, wanted in publication.sensitive.items()
    }


def counted(people: DataFrame, publication: Publication) -> pa.Table:
    """Count people by what others may know and by what is sensitive: as many rows as there are combinations."""
    quasi = [F.col(name) for name in publication.quasi]
    return people.groupBy(*quasi, *bins(publication).values()).agg(F.count(F.lit(1)).alias(COUNT)).toArrow()


def grouped(table: pa.Table, publication: Publication) -> tuple[pa.Table, dict[str, Any]]:
    """Group the combinations; return each one's group and labels, and the report.

    The groups are made of what others may know, so that people who are alike in that share one.
    """
    quasi = list(publication.quasi)
    fields = [
        hierarchy.encode(table[name].to_pylist() if not isinstance(hierarchy, Numbers) else _numbers(table[name]))
        for name, hierarchy in publication.quasi.items()
    ]
    sensitive = {name: _codes(table[f"compared {name}"]) for name in publication.sensitive}
    weights = table[COUNT].to_numpy().astype(np.int64)
    made = group(publication, fields, sensitive, weights)
    told = report(publication, fields, sensitive, weights, made)
    labels = np.array([*made.labels, ("",) * len(quasi)], dtype=object)[made.of]
    columns = {name: table[name] for name in quasi}
    columns |= {f"shown {name}": pa.array(labels[:, place], pa.string()) for place, name in enumerate(quasi)}
    both = pa.table({**columns, GROUP: pa.array(made.of)})
    return both.group_by([*columns, GROUP]).aggregate([]), told


def _numbers(column: Any) -> Any:
    return pc.cast(column, pa.float64(), safe=False).to_numpy()  # of 17 digits, ranges tell sixteen


def _codes(column: Any) -> Codes:
    """Number values in order; nothing is a value too, and so is what is no number, however often it comes."""
    values = [None if value != value else value for value in column.to_pylist()]  # noqa: PLR0124  # NaN is not itself
    distinct = sorted({value for value in values if value is not None})
    place = {value: number for number, value in enumerate([*distinct, None])}
    return np.array([place[value] for value in values], dtype=np.int64)


def shown(people: DataFrame, places: DataFrame, publication: Publication) -> DataFrame:
    """Put what each group shows in the place of what others may know, and hide what is to be hidden."""
    alike = [people[name].eqNullSafe(places[name]) for name in publication.quasi]
    joined = people.join(F.broadcast(places), alike).where(places[GROUP] >= 0)
    within = Window.partitionBy(places[GROUP])
    covers: dict[Cover, Callable[[str], Column]] = {
        Cover.MASK: lambda name: F.concat(F.substring(people[name], 1, 1), F.lit("***")),
        Cover.AVERAGE: lambda name: F.round(F.avg(people[name]).over(within), 6),
    }
    wanted = [F.col(f"shown {name}").alias(name) for name in publication.quasi]
    wanted += [people[name] for name in (*publication.sensitive, *publication.kept)]
    wanted += [covers[cover](name).alias(name) for name, cover in publication.covered.items() if cover in covers]
    return joined.select(*wanted)


def refuse_identifiers(people: DataFrame, publication: Publication) -> None:
    """Refuse a column of texts that holds identifiers which its contract does not know of."""
    texts = {column.name for column in publication.table.columns if column.kind is str}
    looked_at = [name for name in (*publication.sensitive, *publication.kept, *publication.quasi) if name in texts]
    if not looked_at:
        return
    sample = people.select(*looked_at).limit(SAMPLE).toArrow()
    for name in looked_at:
        found = identifiers(sample[name].combine_chunks())
        if found:
            said = ", ".join(f"{kind} in {share:.0%} of texts" for kind, share in found.items())
            raise RefusedPublication(f"{publication.name}.{name}", said, "drop it or mask it, and say so in its event")


def write(frame: DataFrame, bucket: str, prefix: str, rows: int) -> list[tuple[str, int]]:
    """Write rows in no order of theirs, each task a file; return keys and rows."""
    # Rows in the order of the table would tell who is who (the unsorted matching attack, Sweeney 2002).
    spread = frame.repartition(rows // ROWS_A_FILE + 1, F.rand()).sortWithinPartitions(F.rand())
    written = spread.mapInArrow(partial(_part, bucket=bucket, prefix=prefix), WRITTEN).collect()
    return [(row["key"], row["rows"]) for row in written]


def _part(batches: Iterator[pa.RecordBatch], bucket: str, prefix: str) -> Iterator[pa.RecordBatch]:
    held = list(batches)
    rows = sum(batch.num_rows for batch in held)
    if rows:
        body, key = io.BytesIO(), f"{prefix}{uuid4().hex}.parquet"
        pq.write_table(pa.Table.from_batches(held), body, compression="zstd")
        s3().put_object(Bucket=bucket, Key=key, Body=body.getvalue())
        yield pa.RecordBatch.from_pydict({"key": [key], "rows": [rows]})


def publish(spark: SparkSession, table: DataFrame, publication: Publication) -> tuple[DataFrame, dict[str, Any]]:
    """Make what is published of a table, and the report on it."""
    everybody = newest(table, publication)
    people = usable(everybody, publication).persist()
    refuse_identifiers(people, publication)
    combinations = counted(people, publication)
    if not combinations.num_rows:
        raise RefusedPublication(publication.name, 0, "there is nobody to publish")
    places, told = grouped(combinations, publication)
    left_out = everybody.count() - told["people"] + told["suppressed"]
    if left_out > publication.suppress * (told["people"] + left_out):
        fix = f"{left_out} people would be left out: clean their values, or allow more"
        raise RefusedPublication(f"{publication.name}.suppress", publication.suppress, fix)
    return shown(people, spark.createDataFrame(places), publication), {**told, "left_out": left_out}


def asked(argv: Sequence[str] | None = None) -> Publication:
    """Read which publication is asked for."""
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("--publication", required=True)
    known, _ = parser.parse_known_args(argv)
    if known.publication not in PUBLICATIONS:
        fix = f"there are {', '.join(PUBLICATIONS)} (domain/publications.py)"
        raise RefusedPublication("publication", known.publication, fix)
    return PUBLICATIONS[known.publication]


def main() -> None:
    """Publish the table as of the end of the day; what is declared wrongly is refused before Spark starts."""
    arguments, publication = Arguments.read(), asked()
    check([publication])
    spark = lake.session()
    lake.spread(spark, lake.rows(spark, publication.table))
    table = spark.table(lake.name(publication.table)).where(F.col(publication.newest) < F.lit(arguments.until))
    frame, told = publish(spark, table, publication)
    prefix = f"published/tables/{publication.name}/{arguments.day}/{arguments.run}/"
    files = write(frame, arguments.bucket, prefix, told["people"])
    put(arguments.bucket, f"{prefix}report.json", {**told, "files": [key for key, _ in files]})
    now = datetime.now(timezone.utc)
    print(line(Act.RELEASE, who=caller(), at=now, run=arguments.run, publication=publication.name, k=publication.k))
    tell(arguments, "anonymize", {"prefix": prefix, "rows": sum(rows for _, rows in files), **told})


if __name__ == "__main__":
    main()
