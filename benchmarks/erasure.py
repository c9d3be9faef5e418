"""What it costs to remove people from a table: their row groups, against whole files and the whole table.

Twenty million rows of some 830 thousand people lie in 64 files, by time and by person.  Peers rewrite what DuckDB,
polars or pyarrow can: whole files, with the same codec and row groups, to the same disk.  What S3 would copy by itself
is not written here, but for the lines that say so.  `--rows` makes everything smaller,
`--only file` or `--only table` leaves the other out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.bars import STRICT, Bar, report
from benchmarks.people import FILES, WRITTEN, Numbers, People, name
from demo.progress import tell
from domain.privacy.erasure.file import MOST_SHARE, Erasure, erase
from domain.privacy.erasure.footer import Footer, extent
from domain.privacy.erasure.parts import Sent, parts
from domain.privacy.erasure.splice import Splice, find

ROWS = 20_000_000
PEOPLE_SHARE = 24  # rows a person
GROUP, TIME_GROUP = 20_000, 100_000
LARGE_SHARE = 2
"""The large file holds every second row: about 400 MB."""

ROUNDS = 3
WHOLE_ROUNDS = 1
MANY = (1, 10, 100, 1000)
THREADS = 4
COLUMN = "user_id"


@dataclass(frozen=True, slots=True)
class Local:
    """A file on this machine."""

    path: Path

    @property
    def size(self) -> int:
        """Say how many bytes it has."""
        return self.path.stat().st_size

    def read(self, start: int, length: int) -> bytes:
        """Read some bytes."""
        with self.path.open("rb") as held:
            held.seek(start)
            return held.read(length)


@dataclass(frozen=True, slots=True)
class Timed:
    """How long something took, in seconds, each time."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """Say how long it takes mostly."""
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        """Say how long it takes at best."""
        return min(self.seconds)


def timed(work: Callable[[], object], rounds: int) -> Timed:
    """Do something some times."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return Timed(found)


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timed]:
    """Do several things in turns, so that a busy machine is busy for all of them."""
    found: dict[str, list[float]] = {each: [] for each in works}
    for _ in range(rounds):
        for each, work in works.items():
            found[each] += timed(work, 1).seconds
    return {each: Timed(seconds) for each, seconds in found.items()}


def by_polars(source: Path, made: Path, ids: Sequence[str], group: int) -> None:
    """Write a file without some people; a row of nobody stays."""
    kept = ~pl.col(COLUMN).is_in(ids) | pl.col(COLUMN).is_null()
    frame = pl.scan_parquet(source).filter(kept)
    frame.sink_parquet(made, compression="zstd", compression_level=3, row_group_size=group)


def by_duckdb(source: Path, made: Path, ids: Sequence[str], group: int) -> None:
    """Write a file without some people; a row of nobody stays."""
    rows = duckdb.from_parquet(str(source)).filter(~named(ids) | duckdb.ColumnExpression(COLUMN).isnull())
    rows.write_parquet(str(made), compression="zstd", row_group_size=group)  # at level 3


def named(ids: Sequence[str]) -> duckdb.Expression:
    """Say in DuckDB's words that a row is one of some people's."""
    return duckdb.ColumnExpression(COLUMN).isin(*(duckdb.ConstantExpression(each) for each in ids))


def by_pyarrow(source: Path, made: Path, ids: Sequence[str], group: int) -> None:
    """Write a file without some people, a batch at a time."""
    wanted = pa.array(ids)
    with pq.ParquetWriter(made, pq.read_schema(source), **WRITTEN) as writer:
        for batch in pq.ParquetFile(source).iter_batches(1 << 20):
            kept = batch.filter(pc.invert(pc.is_in(batch[COLUMN], value_set=wanted)))
            writer.write_batch(kept, row_group_size=group)


PEERS = {"polars": by_polars, "duckdb": by_duckdb, "pyarrow": by_pyarrow}


def each(write: Callable[..., None], files: Sequence[Path], made: Path, ids: Sequence[str], group: int) -> None:
    """Write some files again, one after the other: each peer uses all cores for one."""
    for file in files:
        write(file, made / file.name, ids, group)


def found_by_duckdb(files: Sequence[Path], ids: Sequence[str]) -> list[Path]:
    """Find the files that hold some people."""
    rows = duckdb.read_parquet([str(file) for file in files], filename=True).filter(named(ids))
    return [Path(row[0]) for row in rows.project("filename").distinct().fetchall()]


def found_by_polars(files: Sequence[Path], ids: Sequence[str]) -> list[Path]:
    """Find the files that hold some people."""
    frame = pl.scan_parquet(list(files), include_file_paths="file").filter(pl.col(COLUMN).is_in(ids))
    return [Path(row) for row in frame.select(pl.col("file").unique()).collect()["file"].to_list()]


def found_by_pyarrow(files: Sequence[Path], ids: Sequence[str]) -> list[Path]:
    """Find the files that hold some people."""
    dataset = ds.dataset([str(file) for file in files])
    hit = dataset.to_table(columns=["__filename"], filter=pc.field(COLUMN).isin(list(ids)))
    return [Path(file) for file in pc.unique(hit["__filename"]).to_pylist()]


FINDERS = {"polars": found_by_polars, "duckdb": found_by_duckdb, "pyarrow": found_by_pyarrow}


def ours(
    file: Path, made: Path, subjects: pa.Array, most_share: float = MOST_SHARE, *, whole: bool = False
) -> Erasure | None:
    """Erase people from a file: write what would be sent to S3, or the whole new file."""
    done = erase(Local(file), COLUMN, subjects, most_share)
    if done is None:
        return None
    if not isinstance(done.left, Splice):
        made.write_bytes(done.left or b"")
    elif whole:
        shutil.copyfile(file, made)
        apply(done.left, made)
    else:
        made.write_bytes(b"".join(change for _, change in done.left.edits) + done.left.tail)
    return done


def apply(done: Splice, path: Path) -> None:
    """Change a copy of a file into the file without some people."""
    with path.open("r+b") as held:
        for place, change in done.edits:
            held.seek(place)
            held.write(change)
        held.seek(done.kept)
        held.write(done.tail)
        held.truncate()


@dataclass(frozen=True, slots=True)
class Table:
    """The table in both layouts, and where outcomes go."""

    people: People
    by_time: list[Path]
    by_person: list[Path]
    made: Path

    def erase(self, who: Numbers, most_share: float = MOST_SHARE) -> list[Erasure]:
        """Erase people from the files of their buckets, several files at a time."""
        buckets = {int(number): who[who % FILES == number] for number in set(who % FILES)}

        def one(number: int) -> Erasure | None:
            file = self.by_person[number]
            return ours(file, self.made / file.name, name(buckets[number]), most_share, whole=True)

        with ThreadPoolExecutor(THREADS) as pool:
            return [done for done in pool.map(one, buckets) if done is not None]

    def files(self, who: Numbers) -> list[Path]:
        """List the files of their buckets."""
        return [self.by_person[number] for number in sorted(set((who % FILES).tolist()))]


def one_person(table: Table) -> tuple[list[Bar], dict[str, Any]]:
    """Erase one person after another, and write the table, or the files that hold the person, as a whole."""
    some = table.people.typical(ROUNDS)
    turns = cycle(range(ROUNDS))

    def person() -> Numbers:
        return some[[next(turns)]]

    def write_all(peer: str) -> None:
        each(PEERS[peer], table.by_person, table.made, ids(person()), GROUP)

    def look(peer: str) -> None:
        found = FINDERS[peer](table.by_time, wanted := ids(person()))
        each(PEERS[peer], found, table.made, wanted, TIME_GROUP)

    done = [table.erase(some[[number]])[0] for number in range(ROUNDS)]
    tell("one person: row groups against the table")
    spliced = timed(lambda: table.erase(person()), ROUNDS * 3)
    everything = in_turns({peer: partial(write_all, peer) for peer in PEERS}, WHOLE_ROUNDS)
    tell("one person: row groups against the files that hold the person")
    looked = in_turns({peer: partial(look, peer) for peer in PEERS}, ROUNDS)
    held = [held_by(table.by_person[int(each) % FILES], name(some[[place]])) for place, each in enumerate(some)]
    shares = [(each.decoded + each.encoded) / size for each, size in zip(done, held, strict=True)]
    tell(f"row groups {spliced.median:.3f} s; the table {said(everything)}; those that hold the person {said(looked)}")
    fastest, found = (min(peers.values(), key=lambda peer: peer.median) for peers in (everything, looked))
    bars = [
        Bar("bytes decoded and encoded, to those of the row groups that hold the person", max(shares), 2, False),
        Bar("one person, time to that of writing the table again", fastest.median / spliced.median, 20),
        Bar("one person, time to that of finding and writing whole files by time", found.median / spliced.median, 10),
    ]
    rows = {
        "row groups": spliced.seconds,
        "row group bytes": held,
        "table": {peer: took.seconds for peer, took in everything.items()},
        "found files": {peer: took.seconds for peer, took in looked.items()},
    }
    return bars, rows


def said(took: Mapping[str, Timed]) -> str:
    """Say how long each took."""
    return ", ".join(f"{way} {each.median:.2f} s" for way, each in took.items())


def ids(who: Numbers) -> list[str]:
    """Name people."""
    found: list[str] = name(who).to_pylist()
    return found


def held_by(file: Path, subjects: pa.Array) -> int:
    """Count the bytes of the row groups that hold some people."""
    source = Local(file)
    footer = Footer.read(source)
    spans = footer.groups(find(source, footer, COLUMN, subjects).hits)
    return sum(end - start for start, end in (extent(span.group) for span in spans.values()))


def many(table: Table) -> list[dict[str, Any]]:
    """Erase more and more people in one job, in each way."""
    found = []
    for count in MANY:
        who = table.people.typical(count)
        files = table.files(who)
        took = in_turns(
            {
                "row groups": partial(table.erase, who, 1.0),
                "whole files": partial(table.erase, who, 0.0),
                "switched": partial(table.erase, who),
                "polars, whole files": partial(each, by_polars, files, table.made, ids(who), GROUP),
            },
            WHOLE_ROUNDS,
        )
        done = table.erase(who)
        megabytes = sum(one.decoded + one.encoded for one in done) / 1e6
        spliced = sum(isinstance(one.left, Splice) for one in done)
        figures = {way: round(each.least, 3) for way, each in took.items()}
        found.append({"people": count, "files": len(files), "spliced": spliced, "MB": round(megabytes, 1), **figures})
        tell(str(found[-1]))
    return found


def switch(table: Table) -> list[dict[str, float]]:
    """Erase people from more and more row groups of one file, at its row groups and as a whole."""
    file, found = table.by_person[0], []
    held = pq.ParquetFile(file)
    count = held.num_row_groups
    someone = [held.read_row_group(number, columns=[COLUMN])[COLUMN][GROUP // 3].as_py() for number in range(count - 1)]
    for groups in sorted({1, count // 8, count // 4, count // 2, count * 3 // 4, count - 1} - {0}):
        subjects = pa.array(someone[:groups])
        ways = {"row groups": 1.0, "whole": 0.0}
        works = {
            way: partial(ours, file, table.made / "one", subjects, most_share, whole=True)
            for way, most_share in ways.items()
        }
        took = in_turns(works, ROUNDS)
        found.append({"share": round(groups / count, 2), **{way: round(each.median, 4) for way, each in took.items()}})
    return found


def large(people: People, folder: Path, group: int) -> tuple[list[Bar], dict[str, Any]]:
    """Erase one person from one large file, and write that file as a whole."""
    [file] = people.by_person(folder / f"large-{group}", group, files=1)
    made, some = folder / "made.parquet", people.typical(ROUNDS)
    tell(f"one file of {file.stat().st_size / 1e6:.0f} MB, row groups of {group:,}")
    turns = cycle(range(ROUNDS))

    def person() -> pa.Array:
        return name(some[[next(turns)]])

    def write(peer: str) -> None:
        PEERS[peer](file, made, person().to_pylist(), group)

    works: dict[str, Callable[[], object]] = {peer: partial(write, peer) for peer in PEERS}
    took = in_turns({"row group and footer": lambda: ours(file, made, person()), **works}, ROUNDS)
    copied = timed(lambda: ours(file, made, person(), whole=True), ROUNDS)
    done = ours(file, made, subject := person(), whole=True)
    assert done is not None
    assert isinstance(done.left, Splice)
    same_sums(file, made, subject[0].as_py())
    sent = sum(part.length for part in parts(done.left) if isinstance(part, Sent))
    mine = took.pop("row group and footer")
    fastest = min(took.values(), key=lambda peer: peer.median)
    new = sum(len(change) for _, change in done.left.edits) + len(done.left.tail)
    size = file.stat().st_size
    file.unlink()
    tell(f"row group and footer {mine.median:.3f} s, with a local copy of the rest {copied.median:.2f} s; {said(took)}")
    named = f"file of {size / 1e6:.0f} MB, row groups of {group:,}"
    bars = [
        Bar(f"{named}: time to that of the fastest whole", mine.median / fastest.median, 0.1, at_least=False),
        Bar(f"{named}: sent to S3, which copies the rest", sent / 1e6, 12, at_least=False, unit="MB"),
    ]
    peer_times = {peer: each.seconds for peer, each in took.items()}
    rows = {"ours": mine.seconds, "with a local copy": copied.seconds, **peer_times, "new bytes": new, "sent": sent}
    return bars, {**rows, "size": size, "decoded": done.decoded, "encoded": done.encoded}


class Different(AssertionError):
    """An engine reads other rows than it should."""


def same_sums(before: Path, after: Path, subject: str) -> None:
    """Raise Different unless DuckDB finds all rows but the person's, by their number and the sum of their hashes."""
    sums = "SELECT count(*), sum(hash(t)::HUGEINT) FROM t"
    old, new = duckdb.from_parquet(str(before)), duckdb.from_parquet(str(after))
    if new.query("t", sums).fetchall() != old.filter(~named([subject])).query("t", sums).fetchall():
        raise Different(f"duckdb: {after} is not {before} without one person")


def read_the_same(table: Table) -> dict[str, bool]:
    """Compare one file row for row, as four engines read it, with what the engine itself filters of the old one."""
    who = table.people.typical(1)
    before, after, [subject] = table.files(who)[0], table.made / "compared.parquet", ids(who)
    ours(before, after, name(who), whole=True)
    wanted = pq.read_table(before).filter(pc.field(COLUMN) != subject)
    return {
        "pyarrow": pq.read_table(after).equals(wanted),
        "polars": pl.read_parquet(before).filter(pl.col(COLUMN) != subject).equals(pl.read_parquet(after)),
        "duckdb": in_duckdb(before, after, subject),
        "spark": in_spark(before, after, subject),
    }


def in_duckdb(before: Path, after: Path, subject: str) -> bool:
    """Compare two files row for row; both are in the person's order."""
    wanted = duckdb.from_parquet(str(before)).filter(~named([subject]))
    return bool(wanted.to_arrow_table().equals(duckdb.from_parquet(str(after)).to_arrow_table()))


def in_spark(before: Path, after: Path, subject: str) -> bool:
    """Compare two files row for row."""
    from pyspark.sql import SparkSession  # noqa: PLC0415  # it starts a JVM

    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    wanted = spark.read.parquet(str(before)).where(f"{COLUMN} <> '{subject}'")
    made = spark.read.parquet(str(after))
    same = bool(wanted.exceptAll(made).isEmpty() and made.exceptAll(wanted).isEmpty())
    spark.stop()
    return same


def main(argv: Sequence[str] | None = None) -> int:
    """Make the data, measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder", default=os.environ.get("TMPDIR", "build"), help="where some 3 GB find place")
    parser.add_argument("--only", choices=("file", "table"), help="measure one large file, or the table, alone")
    parser.add_argument(STRICT, action="store_true")
    asked = parser.parse_args(argv)
    people = People(asked.rows, asked.rows // PEOPLE_SHARE)
    with TemporaryDirectory(dir=asked.folder, prefix="erasure-") as made:
        folder = Path(made)
        bars, rows = measure(people, folder, asked.only)
    return report("erasure", bars, rows, [STRICT] if asked.strict else [])


def measure(people: People, folder: Path, only: str | None) -> tuple[list[Bar], dict[str, Any]]:
    """Measure one large file, then the table; the larger data is there only while it is needed."""
    bars: list[Bar] = []
    rows: dict[str, Any] = {"rows": people.rows, "people": people.people}
    half = People(people.rows // LARGE_SHARE, people.people // LARGE_SHARE)
    for group in (GROUP, TIME_GROUP) if only != "table" else ():
        found, rows[f"large {group}"] = large(half, folder, group)
        bars += found
    if only != "file":
        found, more = whole_table(people, folder)
        bars, rows = [*bars, *found], {**rows, **more}
    return bars, rows


def whole_table(people: People, folder: Path) -> tuple[list[Bar], dict[str, Any]]:
    """Measure the table in both layouts."""
    tell("writing the table by time and by person")
    by_time, by_person = people.by_time(folder / "time", TIME_GROUP), people.by_person(folder / "person", GROUP)
    table = Table(people, by_time, by_person, folder / "made")
    table.made.mkdir()
    bars, one = one_person(table)
    rows: dict[str, Any] = {"bytes": {"by time": bytes_of(by_time), "by person": bytes_of(by_person)}, "one": one}
    rows |= {"many": many(table), "switch": switch(table)}
    rows["same"] = same = read_the_same(table)
    return [*bars, Bar("engines that read the rows that they should", sum(same.values()), 4, unit="of 4")], rows


def bytes_of(files: Sequence[Path]) -> int:
    """Sum up what files hold."""
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    raise SystemExit(main())
