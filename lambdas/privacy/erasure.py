"""Erase people, step by step: each step can be repeated, whole or in part, and comes to the same."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pyarrow as pa
from botocore.exceptions import ClientError

from domain.ingest.conservation import ERASED_PLACES
from domain.privacy.erasures import Retention
from domain.tables import QUARANTINE
from lambdas.catalogue import open_catalogue
from lambdas.privacy import held, lineage, quarantine, stored
from lambdas.privacy.certify import Signer, certificate
from lambdas.privacy.erasures import Erasures, Lock
from lambdas.privacy.objects import Place, write
from lambdas.privacy.people import People, Person
from lambdas.privacy.purge import purge
from lambdas.privacy.request import MOST
from lambdas.privacy.settings import ErasureSettings
from lambdas.privacy.stores import KeyValues
from lambdas.privacy.sweep import BLOCKED, LIVE, REMOVED, Sweep, total
from lambdas.privacy.table import erase_table

if TYPE_CHECKING:
    from lambdas.keys import Warm

IN_FLIGHT = timedelta(hours=24)
"""A file of no snapshot that is younger may be about to be committed; a sweep reads it all the same."""

FENCE = timedelta(seconds=10)
"""After this long no consumer lands a record that it read before a person was denied: each looks before its receipt."""

MARGIN_MS = 90_000
MOST_ROUNDS = 10
ACTIVE = ("STARTING", "RUNNING", "STOPPING", "WAITING")

settings = cache(ErasureSettings.read)
client = cache(boto3.client)
catalog = cache(open_catalogue)

Event = Mapping[str, Any]


class Context(Protocol):
    """What Lambda tells a function about its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Say how much time is left."""


class SubjectRemains(RuntimeError):
    """Somebody still stands where this cannot remove them; says where."""


def handler(event: Event, context: Context) -> dict[str, Any]:
    """Take the step that the state machine names."""
    return STEPS[event["step"]](event, context)


def erasures() -> Erasures:
    """Open the table of erasures."""
    return Erasures(client("dynamodb"), settings().erasures)


@lru_cache(maxsize=1)
def people_of(job: str) -> list[Person]:
    """Open who the job is about, once while the process is warm."""
    return People(client("kms"), settings().erasure_key, erasures()).open(job)


def begin(event: Event, _: Context) -> dict[str, Any]:
    """Take the oldest of the queue as one job, or go on with that of an execution that ended on the way."""
    table, mine = erasures(), event["execution"]
    lock = table.lock()
    if lock is None:
        waiting = table.waiting(MOST)
        if not waiting:
            return {"state": "idle"}
        job = f"{_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        if not table.begin(job, mine, waiting, _now()):
            return {"state": "busy"}
        lock = Lock(job, mine)
    if lock.execution != mine and (runs(lock.execution) or not table.take_over(lock, mine)):
        return {"state": "busy"}
    open_still = [digest for digest in table.members(lock.job) if table.sealed(digest) is not None]
    for digest in open_still:
        table.enroll(lock.job, digest)
    if not open_still:  # it ended between its last certificate and its release
        table.release(mine)
    return {"state": "begun" if open_still else "busy", "job": lock.job}


def runs(execution: str) -> bool:
    """Tell whether an execution still runs."""
    machine = client("stepfunctions")
    try:
        return bool(machine.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except machine.exceptions.ExecutionDoesNotExist:
        return False


def quiet(event: Event, _: Context) -> dict[str, Any]:
    """Tell whether all that was under way at a moment has ended, and consumers have looked at the deny-list since."""
    since, table = moment(event["since"]), erasures()
    going = [job for job in filter(None, settings().jobs.split(",")) if is_going(job, since)]
    denied = max(moment(table.standing(digest)["at"]) for digest in table.members(event["job"]))
    return {"quiet": _now() >= denied + FENCE and not going, "going": going}


def moment(said: str) -> datetime:
    """Read a moment as Step Functions writes it."""
    return datetime.fromisoformat(said.replace("Z", "+00:00"))


def is_going(job: str, since: datetime) -> bool:
    """Tell whether a run of a Spark job that began before a moment goes on."""
    found = client("glue").get_job_runs(JobName=job, MaxResults=50)["JobRuns"]
    return any(run["JobRunState"] in ACTIVE and run["StartedOn"] <= since for run in found)


def find(event: Event, _: Context) -> dict[str, Any]:
    """Count what tables hold, mark the models that learned from it, and name the tables to go through."""
    table, job, people = erasures(), event["job"], people_of(event["job"])
    columns = held.subject_tables(catalog())
    for name, column in columns.items():
        table.note(job, f"held/{name}", held.held(catalog().load_table(name), column, people), once=True)
    rows = quarantine.held(catalog().load_table(QUARANTINE.full_name), people, opened)
    table.note(job, f"held/{QUARANTINE.full_name}", rows, once=True)
    account(job, columns, people)
    by = (_now() + timedelta(days=int(settings().erasure_max_days))).date()
    group = settings().model_package_group
    marked = lineage.mark(client("sagemaker"), catalog(), group, people, job=job, by=by)
    table.note(job, "models", lineage.said(marked), once=True)
    return {"tables": [*({"name": name, "column": column} for name, column in columns.items()), ASIDE]}


def account(job: str, columns: Mapping[str, str], people: Sequence[Person]) -> None:
    """Keep where the rows to be removed had come in, once, so that a proof of their day still adds up."""
    raw = {name: column for name, column in columns.items() if name.startswith("raw.")}
    gone = {name: held.places(catalog().load_table(name), column, people) for name, column in raw.items()}
    name = QUARANTINE.full_name
    gone[name] = quarantine.places(catalog().load_table(name), people, opened)
    body = json.dumps({table: places for table, places in gone.items() if places}).encode()
    try:
        write(client("s3"), Place(settings().bucket, f"{ERASED_PLACES}{job}.json"), body)
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":  # it was kept before an execution died
            raise


ASIDE = {"name": QUARANTINE.full_name, "column": ""}
"""Its rows name nobody in a column."""


def forget(event: Event, _: Context) -> dict[str, Any]:
    """Destroy the people's own keys, with which all that these sealed is gone at once, then forget them in stores."""
    stores = {
        "keys": KeyValues(client("dynamodb"), settings().subjects, ("subject", "item")),
        "decisions": KeyValues(client("dynamodb"), settings().decisions, ("unit", "item")),
    }
    people = people_of(event["job"])
    counted = {name: {one.digest: store.forget(one.spellings) for one in people} for name, store in stores.items()}
    erasures().note(event["job"], "stores", counted, once=True)
    return {name: sum(by_person.values()) for name, by_person in counted.items()}


def table(event: Event, _: Context) -> dict[str, Any]:
    """Remove the people from one table and from its history, for good."""
    name, people = event["name"], people_of(event["job"])
    notes = {"rivermill.erasure": event["job"]}
    if event["column"]:
        spelled = [spelling for person in people for spelling in person.spellings]
        done = erase_table(catalog(), name, spelled, event["column"], notes=notes)
    else:
        done = quarantine.erase(catalog(), people, opened, notes)
    purged = purge(catalog(), name, IN_FLIGHT)
    said = {"table": name, **asdict(done), "purged": asdict(purged)}
    if done.rows:
        erasures().note(event["job"], f"erased/{name}/{_now().isoformat()}", said)
    return {"name": name, "rows": done.rows, "files": done.files, "purged": purged.files}


def sweep(event: Event, context: Context) -> dict[str, Any]:
    """Read every byte that is left, and delete what nobody needs in which somebody stands."""
    spelled = [spelling for person in people_of(event["job"]) for spelling in person.spellings]
    reader = Sweep(client("s3"), catalog(), settings().bucket, spelled)
    swept, after = reader.run(event["after"], lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    place = event["after"].get("KeyMarker", "")
    erasures().note(event["job"], f"swept/{event['since']}/{place}", swept.said())
    return {"after": after, "state": "more" if after else judged(event)}


def judged(event: Event) -> str:
    """Say whether a sweep found nobody, or only in what it removed; raise SubjectRemains where people must help."""
    notes = erasures().notes(event["job"], "swept/")
    whole = total([said for name, said in notes.items() if name.startswith(f"swept/{event['since']}/")])
    rounds = {name.split("/")[1] for name in notes}
    if whole[BLOCKED] or len(rounds) > MOST_ROUNDS:
        where = ", ".join((whole[BLOCKED] or whole[LIVE] or whole[REMOVED])[:5])
        raise SubjectRemains(f"job {event['job']}: after {len(rounds)} sweeps somebody stands in {where}; remove it")
    return "found" if whole[LIVE] else "removed" if whole[REMOVED] else "clean"


def certify(event: Event, _: Context) -> dict[str, Any]:
    """Write a certificate for each person, sign it, and forget who it is about."""
    table, job = erasures(), event["job"]
    notes, signer = table.notes(job), Signer(client("kms"), settings().signing_key)
    written = []
    for digest in table.members(job):
        key = f"certificates/{digest}.json"
        if table.sealed(digest) is not None:
            said = certificate(digest, table.standing(digest), notes, retention(), _now())
            client("s3").put_object(Bucket=settings().bucket, Key=key, Body=signer.signed(said))
            table.finish(digest, key, _now())
        written.append(key)
    table.release(event["execution"])
    people_of.cache_clear()
    return {"certificates": written}


def retention() -> Retention:
    """Read for how long stores keep what cannot be deleted."""
    return Retention(int(settings().stream_hours), int(settings().recovery_days), int(settings().log_days))


def opened(rows: pa.Table) -> pa.Table:
    """Give rows of the quarantine in clear."""
    return stored.set_aside_in_clear(rows, keys().ring()) if settings().keys else rows


@cache
def keys() -> Warm:
    """Open the keys, once for a warm process."""
    from lambdas.keys import warm  # noqa: PLC0415  # with its layer, only where privacy is on

    return warm(client("dynamodb"), client("kms"), settings())


def _now() -> datetime:
    return datetime.now(timezone.utc)


STEPS: dict[str, Callable[[Event, Context], dict[str, Any]]] = {
    "begin": begin,
    "quiet": quiet,
    "find": find,
    "forget": forget,
    "table": table,
    "sweep": sweep,
    "certify": certify,
}
