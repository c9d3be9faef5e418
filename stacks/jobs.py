"""The Spark jobs.  To add one, write `glue_jobs/<capability>/<name>.py` and its line in JOBS."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events import EVENTS
from domain.process.sessions import INTERACTIONS
from domain.publications import PUBLICATIONS
from domain.releases import RELEASES
from domain.tables import CURATED, OPENINGS, PROPENSITY, RAW, SESSIONS, STATISTICS, USERS, Table

interactions = tuple(CURATED[event] for event in INTERACTIONS)

measurable = tuple(CURATED.values())  # whatever an experiment may declare as its outcome, and who was exposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A Spark job: `glue_jobs.<module>`, the tables and folders that it may touch, and whether each day runs it.

    One for `upkeep` may rewrite every table and remove what no snapshot holds.  `packages` are installed for the job;
    one with a `ledger` charges the budgets of what is released; one with `keys` opens those that protect fields.
    """

    module: str
    reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    ledger: bool = False
    keys: bool = False
    daily: bool = False
    upkeep: bool = False
    vital: bool = True
    """Whether the day fails with it; nothing after one that is not vital needs what it writes."""

    @property
    def name(self) -> str:
        """Name the job, as people type it."""
        return f"rivermill-{self.module.partition('.')[2]}"

    @property
    def title(self) -> str:
        """Name it in pictures and as a construct."""
        return self.module.partition(".")[2].title()


COMPACT = Job(module="process.compact", upkeep=True)
RELEASE = Job(
    module="privacy.release",
    reads=tuple(dict.fromkeys(dataset.table for dataset in RELEASES.values())),
    files=("published/",),
    packages=("opendp==0.16.0",),
    ledger=True,
)
ANONYMIZE = Job(
    module="privacy.anonymize",
    reads=tuple(dict.fromkeys(publication.table for publication in PUBLICATIONS.values())),
    files=("published/",),
)
RETOKENIZE = Job(module="privacy.retokenize", packages=("cryptography==50.0.2",), keys=True, upkeep=True)
REPLAY = Job(module="process.replay", reads=tuple(RAW.values()), writes=tuple(CURATED.values()))

JOBS = (
    Job(
        module="process.curate",
        reads=tuple(RAW[event] for event in EVENTS),
        writes=tuple(CURATED[event] for event in EVENTS),
        daily=True,
    ),
    Job(module="experiment.readout", reads=measurable, writes=(STATISTICS,), daily=True, vital=False),
    Job(module="process.sessions", reads=interactions, writes=(SESSIONS,), daily=True),
    Job(module="process.features", reads=(SESSIONS, *interactions), writes=(USERS, OPENINGS), daily=True),
    Job(module="train.dataset", reads=(OPENINGS, USERS), writes=(PROPENSITY,), files=("training/",), daily=True),
    COMPACT,
    REPLAY,
    RELEASE,
    ANONYMIZE,
    RETOKENIZE,
)
"""All of them; those of the day in the order in which it runs them."""

DAILY = tuple(job for job in JOBS if job.daily)
