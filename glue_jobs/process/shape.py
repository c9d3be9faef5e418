"""Foresee how many bytes a table's rows will take once they are sorted: Iceberg plans files by the bytes before."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession
from pyspark.sql.functions import expr

from domain.layout import LARGEST_FILE_BYTES, PLANNED_FILE_BYTES, SMALL_FILE_BYTES, TARGET_FILE_BYTES
from domain.tables import Table
from glue_jobs import lake

GROUP_BYTES = 1 << 30
"""About 10 million events, sorted together: what one task sorts without much spilling is a small part of it."""

MOST_GROUP_BYTES = 8 * GROUP_BYTES
MOST_GROUPS = 1_000
"""Groups are committed one by one, as long as they are so few: some 1,000 GiB a run."""

SUMS = ("count(*)", "sum(record_count)", "sum(file_size_in_bytes)")
LEAST, MOST = 1 / 64, 4.0
"""Bounds of what a factor is believed to be: what it was measured on may be unlike what came since."""


@dataclass(frozen=True, slots=True)
class Files:
    """Some files of a table: how many, their rows and their bytes."""

    count: int = 0
    rows: int = 0
    bytes: int = 0

    def __add__(self, other: Files) -> Files:
        """Put them together."""
        return Files(self.count + other.count, self.rows + other.rows, self.bytes + other.bytes)

    def factor(self, model: Files) -> float:
        """Say how many times as many bytes these rows take when they lie as the model's do; 1 if one holds no row."""
        if not self.rows or not model.rows:
            return 1.0
        return min(max(model.bytes / model.rows * self.rows / self.bytes, LEAST), MOST)


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's files: those to rewrite, and those that are as large as they should be, so of sorted rows."""

    small: Files
    well: Files

    @classmethod
    def of(cls, spark: SparkSession, table: Table) -> Shape:
        """Read it from the table's metadata."""
        well = f"file_size_in_bytes BETWEEN {SMALL_FILE_BYTES} AND {LARGEST_FILE_BYTES}"
        files = spark.table(f"{lake.name(table)}.data_files")
        found = {row[0]: Files(*row[1:]) for row in files.groupBy(expr(well)).agg(*map(expr, SUMS)).collect()}
        return cls(found.get(False, Files()), found.get(True, Files()))

    @property
    def unknown(self) -> bool:
        """Say that several files are to be made, and nothing tells of how many bytes."""
        return not self.well.count and self.small.bytes > PLANNED_FILE_BYTES

    def sample(self) -> dict[str, str]:
        """Limit a rewrite to as many files as make about one."""
        few = max(2, TARGET_FILE_BYTES * self.small.count // self.small.bytes)
        # Iceberg takes the groups that it leaves out for commits that failed.
        return {"max-files-to-rewrite": str(few), "partial-progress.max-failed-commits": str(MOST_GROUPS)}

    def options(self, model: Files) -> dict[str, str]:
        """Plan a rewrite's files by what their rows will take when they lie as the model's do."""
        factor = self.small.factor(model)
        # Of a group come several files, however much it shrinks: one alone may come out small.
        group = min(int(GROUP_BYTES / factor), MOST_GROUP_BYTES)
        return {"compression-factor": f"{factor:.4f}", "max-file-group-size-bytes": str(group)}
