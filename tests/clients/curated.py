"""Curated tables of a laptop cloud, filled by hand, that commands ask by Athena."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from domain.contract.arrow import arrow_schema
from domain.contract.iceberg import iceberg_schema
from domain.tables import CURATED
from local import iceberg
from local.cloud import Cloud
from tests.databases import anew


@contextmanager
def curated(cloud: Cloud, bucket: str, name_to_rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[None]:
    """Make the tables of some events and the platform's workgroup, and take both away again."""
    cloud.client("s3").create_bucket(Bucket=bucket)
    anew(cloud.client("glue"), "curated")
    where = {"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/athena/"}}
    cloud.client("athena").create_work_group(Name="rivermill", Configuration=where)
    for name, rows in name_to_rows.items():
        table = CURATED[name]
        fields = [
            {"Id": field["id"], "Name": field["name"], "Type": field["type"], "Required": field["required"]}
            for field in iceberg_schema(table.columns)["fields"]
        ]
        described = {"Location": f"s3://{bucket}/{name}/", "Schema": {"Type": "struct", "Fields": fields}}
        iceberg.create(cloud, table.database, table.name, described)
        columns = [column.name for column in table.columns]
        known = [{column: row.get(column) for column in columns} for row in rows]
        iceberg.catalogue(cloud).load_table(table.full_name).append(
            pa.Table.from_pylist(known, arrow_schema(table.columns))
        )
    yield
    cloud.client("athena").delete_work_group(WorkGroup="rivermill", RecursiveDeleteOption=True)
    for name in name_to_rows:
        cloud.client("glue").delete_table(DatabaseName="curated", Name=CURATED[name].name)
    cloud.client("glue").delete_database(Name="curated")
