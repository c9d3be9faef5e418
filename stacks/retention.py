"""Hold every store that forgets by itself against the days within which a person must be gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from domain.layout import ORPHAN_AGE, history
from domain.tables import TABLES
from stacks.config import Config, RefusedConfig

UNDO_DAYS = 3
RESULT_DAYS = 7
QUEUE_DAYS = 14
LONGEST_RECOVERY = 35  # DynamoDB, "Point-in-time recovery": one to 35 days
WHOLE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store keeps, said by the setting or the declaration that decides it, and for how long."""

    by: str
    days: float


def recovery_days(config: Config) -> int:
    """Say for how long a key-value table can be restored: as long as may be, and no longer."""
    return min(LONGEST_RECOVERY, config.erasure_max_days)


def kept(config: Config) -> list[Kept]:
    """List what keeps data that cannot be deleted, or that a restore would bring back."""
    return [
        Kept("Config.stream_hours", config.stream_hours / 24),
        Kept("Config.log_days", config.log_days),
        Kept("stacks.retention.UNDO_DAYS (noncurrent versions)", UNDO_DAYS if config.keep_data else 0),
        Kept("stacks.retention.RESULT_DAYS (results of Athena)", RESULT_DAYS),
        Kept("stacks.retention.QUEUE_DAYS (pointers to failed batches)", QUEUE_DAYS),
        Kept("stacks.retention.recovery_days (point-in-time backups)", recovery_days(config)),
        Kept("domain.layout.ORPHAN_AGE (files of no snapshot)", ORPHAN_AGE / WHOLE_DAY),
        *(Kept(f"domain.layout.history of {table.full_name}", history(table) / WHOLE_DAY) for table in TABLES),
    ]


def check(config: Config) -> None:
    """Raise RefusedConfig, with the first by name, if something is kept longer than `erasure_max_days`."""
    for each in kept(config):
        if each.days > config.erasure_max_days:
            raise RefusedConfig(
                f"{each.by} keeps data for {each.days:g} days; allowed: at most {config.erasure_max_days}, "
                "which is Config.erasure_max_days: until then somebody erased could be had back"
            )
