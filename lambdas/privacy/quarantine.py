"""Remove people from the quarantine, whose rows name nobody in a column: they are found in the bytes set aside."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from domain.privacy import residue
from domain.privacy.denial import owner_of
from domain.privacy.erasure.whole import without
from domain.tables import QUARANTINE
from lambdas.privacy import held
from lambdas.privacy.files import client
from lambdas.privacy.held import PLACE, Held
from lambdas.privacy.objects import Place, read, write
from lambdas.privacy.people import Person
from lambdas.privacy.table import Erased, Replacement, described, erase_found, whole

TEXTS = ("payload", "value", "detail")
Opened = Callable[[pa.Table], pa.Table]
"""Gives rows of the quarantine with what is encrypted in them in clear."""


def looked_up(table: Table, people: Sequence[Person], opened: Opened) -> Held:
    """Find the rows in which the people stand: how many of each, by digest, and where they came in, by shard."""
    counted: Counter[str] = Counter()
    found: dict[str, list[str]] = {}
    for batch in table.scan(selected_fields=(*TEXTS, *PLACE)).to_arrow_batch_reader():
        rows = pa.Table.from_batches([batch])
        came = zip(*(rows[name].to_pylist() for name in PLACE), strict=True)
        for (shard, sequence), who in zip(came, owners(opened(rows), people), strict=True):
            counted.update(who)
            if who:
                found.setdefault(shard, []).append(sequence)
    return Held(dict(counted), found)


def owners(rows: pa.Table, people: Sequence[Person]) -> list[set[str]]:
    """Say of each row who stands in it, by digest."""
    owner = held.owners(people)
    telling = {spelling: person.digest for person in people for spelling in person.telling}
    texts = [rows.column(name).cast(pa.binary()).to_pylist() for name in TEXTS]
    return [named(row[0], owner) | standing(row, telling) for row in zip(*texts, strict=True)]


def named(payload: bytes | None, owner: Mapping[str, str]) -> set[str]:
    """Say whose a record says that it is, by digest."""
    said = owner_of(pa.scalar(payload or b"", pa.binary()))
    return {owner[said]} if said is not None and said in owner else set()


def standing(texts: Sequence[bytes | None], owner: Mapping[str, str]) -> set[str]:
    """Say who stands in some texts, by digest; `owner` has no word that stands in everybody's."""
    return {owner[spelling] for text in texts if text for spelling in residue.found(text, list(owner))}


def erase(catalog: Catalog, people: Sequence[Person], opened: Opened, notes: dict[str, str]) -> Erased:
    """Remove the rows in which the people stand, from all branches and tags; plans anew beside other writers."""

    def holding(table: Table, ref: str) -> list[Replacement]:
        tasks = whole(table.scan(snapshot_id=table.metadata.refs[ref].snapshot_id).plan_files())
        tried = (replacement(table, task.file, people, opened) for task in tasks)
        return [one for one in tried if one is not None]

    return erase_found(catalog, QUARANTINE.full_name, holding, notes)


def replacement(table: Table, old: DataFile, people: Sequence[Person], opened: Opened) -> Replacement | None:
    """Write a data file again without the rows in which the people stand; None if there are none."""
    content = read(client("s3"), Place.of(old.file_path))
    file = pq.ParquetFile(pa.BufferReader(content))
    rows = file.read()
    hit = pa.chunked_array([[bool(who) for who in owners(opened(rows.select(TEXTS)), people)]], pa.bool_())
    left = pc.sum(hit).as_py() or 0
    if not left:
        return None
    cost = Erased(1, file.metadata.num_row_groups, left, len(content))
    if left == rows.num_rows:
        return Replacement(old, None, cost)
    sink = pa.BufferOutputStream()
    pq.write_table(without(rows, hit), sink, compression="zstd", write_page_index=True)
    new = sink.getvalue().to_pybytes()
    path = table.location_provider().new_data_location(f"{uuid.uuid4()}.parquet")
    write(client("s3"), Place.of(path), new)
    metadata = pq.read_metadata(pa.BufferReader(new))
    return Replacement(old, described(table, old, path, metadata, len(new)), cost + Erased(bytes_written=len(new)))
