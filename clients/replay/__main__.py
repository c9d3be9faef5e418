"""Replay a file of clicks (CSV, NDJSON, Parquet or a web log) to a stream, as events."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from clients.progress import counted
from clients.replay.mapping import InvalidMapping, Mapping
from clients.replay.replay import Replay
from clients.replay.rows import UnreadableFile
from clients.send import send


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 2 if nothing could be sent, 1 if the stream refused records."""
    chosen = _parser().parse_args(arguments)
    try:
        mapping = Mapping.read(chosen.mapping)
        replay = Replay(chosen.file, mapping, chosen.out, chosen.until, chosen.speed, chosen.limit)
        replay.check_rows()
        report = send(counted(replay.records(), "events"), chosen.stream)
    except (InvalidMapping, UnreadableFile, ClientError, BotoCoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(replay.account.lines()))
    if replay.account.rejected:
        print(f"the rejected rows, with their numbers and reasons: {replay.rejects}")
    if report.refused:
        print(f"{chosen.stream} refused {dict(report.refused)}", file=sys.stderr)
    return 1 if report.refused else 0


def _speed(text: str) -> float:
    speed = float("inf") if text == "max" else float(text)
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{text}: take a number above 0 (60 is an hour a minute) or max")
    return speed


def _limit(text: str) -> int:
    limit = int(text)
    if limit < 1:
        raise argparse.ArgumentTypeError(f"{text}: take a whole number of at least 1, or leave it out")
    return limit


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clients.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="the clicks; .gz is read too")
    parser.add_argument("--mapping", type=Path, required=True, help="how its columns become events (TOML)")
    parser.add_argument("--stream", required=True, help="name of the Kinesis stream")
    parser.add_argument("--speed", type=_speed, default="max", help="times as fast as it happened, or max")
    parser.add_argument("--limit", type=_limit, help="rows to read at most")
    parser.add_argument(
        "--until", type=date.fromisoformat, help="move all times by whole days; the last day becomes this"
    )
    parser.add_argument("--out", type=Path, default=Path("build/replay"), help="folder for the ledger and the rejects")
    return parser


if __name__ == "__main__":
    sys.exit(main())
