"""Give rows the token of the newest key, so that they join again after a rotation; run by hand, and again at will."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

import boto3
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from domain.privacy import tokens
from domain.privacy.domains import DOMAINS, Domain
from domain.privacy.keyring import SUBJECTS, TOKENS, Keyring
from domain.schema import Treatment
from domain.tables import TABLES, Table
from glue_jobs import lake
from glue_jobs.privacy.keys import Keys

RENEWED = "renewed"


def renewal(frame: DataFrame, column: str, ring: Keyring, domain: Domain) -> DataFrame:
    """Pair each distinct value of a column that is no token of the newest key with the one that it gets: old, new."""
    newest = f"{tokens.TOKEN}{ring.newest(TOKENS).version}."
    old = frame.select(F.col(column).alias("old")).where(~F.col("old").startswith(newest)).distinct()
    renew = F.arrow_udf(lambda some: tokens.renewed(some, ring, domain), "string")
    return old.withColumn("new", renew("old"))


def retokenize(spark: SparkSession, table: Table, ring: Keyring, keys: Keys) -> int:
    """Renew a table's tokens in one commit a column; return how many values were old.  Only files with old ones change.

    Subjects' keys move last: until then the table still names whom they are for.
    """
    count = 0
    for column in table.columns:
        if column.field.treatment is Treatment.TOKENIZE:
            domain = DOMAINS[str(column.field.domain)]
            # Cut off from the table, so that the pairs are what was read, whatever is written meanwhile.
            pairs = renewal(spark.table(lake.name(table)), column.name, ring, domain).localCheckpoint()
            if found := pairs.count():
                rename(spark, table, column.name, pairs)
            if column.name == table.subject:
                for pair in pairs.toLocalIterator():
                    keys.move(pair.old, pair.new, ring)
            count += found
    return count


def rename(spark: SparkSession, table: Table, column: str, pairs: DataFrame) -> None:
    """Write the new tokens in place of the old; Iceberg refuses if somebody else changed those rows meanwhile."""
    pairs.createOrReplaceTempView(RENEWED)
    spark.sql(
        f"MERGE INTO {lake.name(table)} AS kept USING {RENEWED} ON kept.{column} = {RENEWED}.old "
        f"WHEN MATCHED THEN UPDATE SET kept.{column} = {RENEWED}.new"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Renew every table that holds tokens."""
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("--keys", required=True)
    parser.add_argument("--subjects", required=True)
    asked, _ = parser.parse_known_args(argv)  # Glue adds arguments of its own
    keys = Keys(boto3.client("dynamodb"), boto3.client("kms"), asked.keys, asked.subjects)
    ring, spark = keys.ring(TOKENS, SUBJECTS), lake.session()
    for table in TABLES:
        count = retokenize(spark, table, ring, keys)
        print(f"{table.full_name}: {count:,} tokens renewed")


if __name__ == "__main__":
    main()
