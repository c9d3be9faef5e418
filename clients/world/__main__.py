"""Send a simulated world to a stream, and write down what was sent and what is true of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clients.progress import counted
from clients.send import send
from clients.world.stream import SENT
from clients.world.truth import best_possible_auc
from clients.world.world import TooSmallAWorld, World

SENT_FILE = "sent.parquet"
SESSIONS_FILE = "sessions.parquet"
EFFECTS_FILE = "effects.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    chosen = _parser().parse_args(arguments)
    try:
        world = World(seed=chosen.seed, events=chosen.events, until=chosen.until)
    except TooSmallAWorld as error:
        print(error, file=sys.stderr)
        return 2
    truth = write_truth(world, chosen.out)
    report = send(counted(records(world, chosen.out / SENT_FILE), "records", world.events), chosen.stream)
    if report.refused:
        print(f"{chosen.stream} refused {dict(report.refused)} of {world.events:,} records: the ledger counts them too")
        return 1
    print(f"{world.valid:,} events sent, {world.duplicates:,} of them twice, and {world.malformed:,} broken records")
    print(f"{truth.num_rows:,} sessions; best possible AUC {best_possible_auc(truth):.4f}; ledgers in {chosen.out}")
    return 0


def write_truth(world: World, folder: Path) -> pa.Table:
    """Write what is true of each session and of each experiment into `folder`, and return the sessions."""
    folder.mkdir(parents=True, exist_ok=True)
    sessions = world.sessions()
    pq.write_table(sessions, folder / SESSIONS_FILE, compression="zstd")
    effects = [{**asdict(effect), "relative": effect.relative} for effect in world.effects()]
    (folder / EFFECTS_FILE).write_text(json.dumps(effects, indent=1) + "\n", encoding="utf-8")
    return sessions


def records(world: World, sent: Path) -> Iterator[tuple[str, bytes]]:
    """Let out the world's records as (partition key, bytes), and write each batch's account once it is taken."""
    with pq.ParquetWriter(sent, SENT, compression="zstd") as ledger:
        for batch in world.batches():
            yield from batch.records
            ledger.write_table(batch.sent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clients.world", description=__doc__)
    yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
    parser.add_argument("--events", type=int, default=200_000, help="records to send, bad ones included")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same world")
    parser.add_argument("--until", type=date.fromisoformat, default=yesterday, help="last day of event time, UTC")
    parser.add_argument("--stream", required=True, help="name of the Kinesis stream")
    parser.add_argument("--out", type=Path, default=Path("build/world"), help="folder for the two ledgers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
