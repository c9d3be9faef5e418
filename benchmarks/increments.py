"""A Spark job that reads what came to tables after a snapshot, with the lake's own reader, and counts rows and ids."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser

from pyspark.sql import functions as F

from domain.layout import named
from glue_jobs import lake
from glue_jobs.accounts import put

if __name__ == "__main__":
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--since", required=True, type=json.loads)  # snapshots by table
    parser.add_argument("--to", required=True)
    given, _ = parser.parse_known_args(sys.argv[1:])
    spark, found = lake.session(), {}
    for table in named(*given.since):
        rows = lake.change(spark, table, given.since[table.full_name]).read(spark)
        counted = rows.agg(F.count("*").alias("rows"), F.count_distinct("event_id").alias("ids")).first()
        assert counted
        found[table.full_name] = counted.asDict()
    put(given.bucket, given.to, found)
