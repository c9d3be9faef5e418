"""Erase people, step by step: each step can be repeated, whole or in part, and comes to the same."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from botocore.exceptions import ClientError
from pyiceberg.table import Table

from domain.ingest.conservation import ERASED_PLACES
from domain.privacy.erasures import Retention
from domain.tables import QUARANTINE
from lambdas.privacy import held, lineage, quarantine, stored
from lambdas.privacy.certify import Signer, certificate, chained
from lambdas.privacy.erasures import Erasures, Lock
from lambdas.privacy.files import catalogue, client
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

PAUSE_SECONDS = 5
"""After this long it is worth to look again whether a Spark job has ended."""

TOGETHER_BYTES = 256 << 20
"""So many bytes of tables are gone through in one invocation, at most, unless one table alone is larger."""

TABLES_AT_ONCE = 4
CATEGORIES = "categories"
MARGIN_MS = 90_000
MOST_ROUNDS = 10
ACTIVE = ("STARTING", "RUNNING", "STOPPING", "WAITING")

settings = cache(ErasureSettings.read)
catalog = cache(catalogue)

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


def told_apart(job: str) -> list[Person]:
    """Open who the job is about, with what `find` learned of each one's names."""
    return told_by(erasures().notes(job, CATEGORIES), people_of(job))


def told_by(notes: Mapping[str, Any], people: Sequence[Person]) -> list[Person]:
    """Say of people what a job's notes tell of their names."""
    found = notes.get(CATEGORIES, {})
    return [
        replace(one, categories=frozenset(one.spellings[place] for place in found.get(one.digest, ())))
        for one in people
    ]


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
    """Tell whether all that was under way at a moment has ended, and consumers have looked at the deny-list since.

    If not, say how many seconds it is worth to wait.
    """
    since, table = moment(event["since"]), erasures()
    going = [job for job in filter(None, settings().jobs.split(",")) if is_going(job, since)]
    denied = max(moment(table.standing(digest)["at"]) for digest in table.members(event["job"]))
    fenced = math.ceil((denied + FENCE - _now()).total_seconds())
    wait = max(fenced, PAUSE_SECONDS if going else 0, 0)
    return {"quiet": not wait, "going": going, "wait": wait}


def moment(said: str) -> datetime:
    """Read a moment as Step Functions writes it."""
    return datetime.fromisoformat(said.replace("Z", "+00:00"))


def is_going(job: str, since: datetime) -> bool:
    """Tell whether a run of a Spark job that began before a moment goes on."""
    found = client("glue").get_job_runs(JobName=job, MaxResults=50)["JobRuns"]
    return any(run["JobRunState"] in ACTIVE and run["StartedOn"] <= since for run in found)


def find(event: Event, context: Context) -> dict[str, Any]:
    """Count what tables hold, mark the models that learned from it, and name the tables to go through."""
    table, job, every = erasures(), event["job"], held.all_tables(catalog())
    note_categories(job, every, lambda: has_time(context))
    people, tables = told_apart(job), held.subject_tables(every)
    columns = {name: held.column_of(name, table) for name, table in tables.items()}
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        rows = pool.map(lambda name: held.looked_up(tables[name], str(columns[name]), people), tables)
        found = dict(zip(tables, rows, strict=True))
    aside = every[QUARANTINE.full_name]
    found[QUARANTINE.full_name] = quarantine.looked_up(aside, people, opened)
    for name, here in found.items():
        table.note(job, f"held/{name}", here.rows, once=True)
    account(job, {name: here.places for name, here in found.items() if here.places})
    by = (_now() + timedelta(days=int(settings().erasure_max_days))).date()
    group = settings().model_package_group
    marked = lineage.mark(client("sagemaker"), catalog(), group, people, job=job, by=by)
    table.note(job, "models", lineage.said(marked), once=True)
    sizes = {name: held.bytes_of(table) for name, table in (*tables.items(), (QUARANTINE.full_name, aside))}
    named = [{"name": name, "column": columns.get(name) or NO_COLUMN, "bytes": size} for name, size in sizes.items()]
    return {"batches": [{"tables": batch} for batch in batched(named)]}


def note_categories(job: str, tables: Mapping[str, Table], in_time: Callable[[], bool]) -> None:
    """Note which names of the people, by their place among them, others' rows have for what is nobody."""
    people = people_of(job)
    found = held.categories(tables.values(), people, in_time)
    by_person = {one.digest: [one.spellings.index(each) for each in found.get(one.digest, ())] for one in people}
    erasures().note(job, CATEGORIES, {digest: sorted(places) for digest, places in by_person.items() if places})


def batched(tables: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put tables that are small together, so that few invocations have to start for them; the largest go first."""
    batches: list[list[dict[str, Any]]] = []
    room = 0
    for table in sorted(tables, key=lambda table: (-table["bytes"], table["name"])):
        if table["bytes"] > room or not batches:
            batches.append([])
            room = TOGETHER_BYTES
        batches[-1].append({"name": table["name"], "column": table["column"]})
        room -= table["bytes"]
    return batches


def account(job: str, places: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Keep where the rows to be removed had come in, by table and shard, so that a proof of their day still adds up.

    What was kept once stands.
    """
    body = json.dumps(places).encode()
    try:
        write(client("s3"), Place(settings().bucket, f"{ERASED_PLACES}{job}.json"), body)
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":  # it was kept before an execution died
            raise


NO_COLUMN = ""
"""The rows of the quarantine name nobody in a column."""


def forget(event: Event, _: Context) -> dict[str, Any]:
    """Destroy the people's own keys, with which all that these sealed is gone at once, then forget them in stores."""
    counted = forgotten(people_of(event["job"]))
    erasures().note(event["job"], "stores", counted, once=True)
    return {name: sum(by_person.values()) for name, by_person in counted.items()}


def forgotten(people: Sequence[Person]) -> dict[str, dict[str, int]]:
    """Delete the people's items in each store; return how many there were, by store and digest."""
    stores = {
        "keys": KeyValues(client("dynamodb"), settings().subjects, ("subject", "item")),
        "decisions": KeyValues(client("dynamodb"), settings().decisions, ("unit", "item")),
    }
    return {name: {one.digest: store.forget(one.spellings) for one in people} for name, store in stores.items()}


def tables(event: Event, _: Context) -> dict[str, Any]:
    """Remove the people from some tables and from their history, for good; one that fails keeps no other back."""
    job, people = event["job"], people_of(event["job"])
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        each = [pool.submit(leave, job, people, named["name"], named["column"]) for named in event["tables"]]
    return {"done": [one.result() for one in each]}


def leave(job: str, people: Sequence[Person], name: str, column: str) -> dict[str, Any]:
    """Remove the people from one table and from its history."""
    notes = {"rivermill.erasure": job}
    if column:
        spelled = [spelling for person in people for spelling in person.spellings]
        done = erase_table(catalog(), name, spelled, column, notes=notes)
    else:
        done = quarantine.erase(catalog(), told_apart(job), opened, notes)
    purged = purge(catalog(), name, IN_FLIGHT)
    said = {"table": name, **asdict(done), "purged": asdict(purged)}
    if done.rows:
        erasures().note(job, f"erased/{name}/{_now().isoformat()}", said)
    return {"name": name, "rows": done.rows, "files": done.files, "purged": purged.files}


def sweep(event: Event, context: Context) -> dict[str, Any]:
    """Read every byte that is left, and delete what nobody needs in which somebody stands.

    What is too common to tell a person, a number or a word, would be found in what is others': it is looked for in
    columns that name people alone.
    """
    people = told_apart(event["job"])
    telling, common = ([each for one in people for each in getattr(one, kind)] for kind in ("telling", "common"))
    reader = Sweep(client("s3"), catalog(), settings().bucket, telling, common)
    swept, after = reader.run(event["after"], lambda: has_time(context))
    place = event["after"].get("KeyMarker", "")
    erasures().note(event["job"], f"swept/{event['since']}/{place}", swept.said())
    return {"after": after, "state": "more" if after else judged(event)}


def has_time(context: Context) -> bool:
    """Tell whether an invocation has time for more."""
    return context.get_remaining_time_in_millis() > MARGIN_MS


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
    people = {one.digest: one for one in told_by(notes, people_of(job))}
    forgotten([*people.values()])  # once more: whoever decides asks no deny-list
    written = []
    for digest in table.members(job):
        key = f"certificates/{digest}.json"
        if table.sealed(digest) is not None:
            facts = {
                **table.link(job, digest),
                "signed_with": settings().signing_key,
                **common(people[digest]),
            }
            said = certificate(digest, table.standing(digest), notes, retention(), _now(), facts=facts)
            client("s3").put_object(Bucket=settings().bucket, Key=key, Body=signer.signed(said))
            table.chain(chained(said))  # before it is finished: who is certified again after a crash has the same link
            table.finish(digest, key, _now())
        written.append(key)
    table.release(event["execution"])
    people_of.cache_clear()
    return {"certificates": written}


def common(person: Person) -> dict[str, int]:
    """Count the spellings of a person that sweeps looked for in columns alone, and which of them others' rows have."""
    return {"too_common": len(person.common), "categories": len(person.categories)}


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
    "tables": tables,
    "sweep": sweep,
    "certify": certify,
}
