"""Count the events that came late: phones that were offline, producers that caught up."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa

from domain.ingest import kernels

LATE = timedelta(hours=1)
"""An event that arrived longer than this after it happened came late; it lands in its own day all the same."""


def late(rows: pa.Table) -> int:
    """Count the rows that came late; what is set aside has no time of its own.

    >>> from datetime import datetime, timezone
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    >>> late(pa.table({"event_time": [noon, noon], "arrived_at": [noon + LATE, noon + 2 * LATE]}))
    1
    """
    if "event_time" not in rows.column_names:
        return 0
    delay = kernels.subtract(rows["arrived_at"], rows["event_time"])
    return int(kernels.total(kernels.greater(delay, pa.scalar(LATE))))
