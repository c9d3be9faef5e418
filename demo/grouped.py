"""Count k, l and t of published files again, by DuckDB, which knows nothing of how groups were made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from domain.privacy.anonymize.declaration import Publication

MEASURE = """
WITH people AS (SELECT {quasi}, {compared} AS value FROM read_parquet($files)),
values AS (
    SELECT value, dense_rank() OVER (ORDER BY value) AS place, count(*) / sum(count(*)) OVER () AS overall
    FROM people GROUP BY value
),
groups AS (SELECT {quasi}, count(*) AS size FROM people GROUP BY ALL),
seen AS (SELECT {quasi}, value, count(*) AS number FROM people GROUP BY ALL),
cells AS (
    SELECT groups.*, place, overall, coalesce(number, 0) / size AS share FROM groups CROSS JOIN values
    LEFT JOIN seen ON seen.value IS NOT DISTINCT FROM values.value AND {same}
),
moved AS (
    SELECT *, abs(share - overall) AS off, abs(sum(share - overall) OVER (PARTITION BY {quasi} ORDER BY place)) AS along
    FROM cells
),
measured AS (
    SELECT min(size) AS size, exp(sum(CASE WHEN share > 0 THEN -share * ln(share) ELSE 0 END)) AS diverse,
        CASE WHEN {ordered} THEN sum(along) / greatest(max(place) - 1, 1) ELSE sum(off) / 2 END AS away
    FROM moved GROUP BY {quasi}
)
SELECT min(size), min(diverse), max(away), count(*), sum(size)::BIGINT FROM measured
"""
"""A group is what shows the same; diversity is by entropy, distance is the earth mover's, along ranks of numbers."""


def measure(publication: Publication, files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Measure each sensitive field: smallest group, least diversity, largest distance from all people's."""
    found = {}
    for name, wanted in publication.sensitive.items():
        cut = " + ".join(f'("{name}" >= {edge})::INTEGER' for edge in wanted.edges) or f'"{name}"'
        sql = MEASURE.format(
            quasi=", ".join(f'"{each}"' for each in publication.quasi),
            compared=cut,
            same=" AND ".join(f'seen."{each}" IS NOT DISTINCT FROM groups."{each}"' for each in publication.quasi),
            ordered=bool(wanted.edges),
        )
        row = duckdb.execute(sql, {"files": [str(file) for file in files]}).fetchone()
        found[name] = dict(zip(("k", "diverse", "close", "groups", "people"), row or (), strict=True))
    return found
