"""Read the examples of a dataset channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from domain.train.gate import SPLITS
from sagemaker_jobs.propensity.model import NAMES, Rows

KEYS = ("session_id", "user_id", "split", "purchased")


class EmptyChannel(ValueError):
    """The dataset channel holds no Parquet file."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows of one split: features, whose they are, and the label (1 is a purchase)."""

    rows: Rows
    sessions: npt.NDArray[Any]
    users: npt.NDArray[Any]
    labels: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.rows)


def read_examples(folder: Path) -> dict[str, Examples]:
    """Read every Parquet file below `folder`, by split, each in the order of its sessions."""
    # A file's own columns only: the folders of an Iceberg table look like Hive partitions to a dataset reader.
    files = [pq.ParquetFile(path).read(columns=[*KEYS, *NAMES]) for path in sorted(folder.rglob("*.parquet"))]
    if not files:
        raise EmptyChannel(f"{folder}: no *.parquet below it; the manifest of the dataset lists none")
    table = pa.concat_tables(files).sort_by("session_id")
    splits = table["split"].to_numpy(zero_copy_only=False)
    return {split: _examples(table.filter(pa.array(splits == split))) for split in SPLITS}


def _examples(table: pa.Table) -> Examples:
    return Examples(
        rows=table.select(NAMES).to_pylist(),
        sessions=np.array(table["session_id"].to_pylist(), dtype=object),
        users=np.array(table["user_id"].to_pylist(), dtype=str),
        labels=table["purchased"].to_numpy(zero_copy_only=False).astype(int),
    )


def counts(examples: dict[str, Examples]) -> tuple[dict[str, int], dict[str, int]]:
    """Count rows, and rows with a purchase, by split."""
    rows = {split: len(part) for split, part in examples.items()}
    return rows, {split: int(part.labels.sum()) for split, part in examples.items()}
