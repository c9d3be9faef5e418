"""Show a person how far a stream of records has come."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TextIO, TypeVar

Item = TypeVar("Item")


def counted(items: Iterable[Item], what: str, total: int | None = None, out: TextIO = sys.stderr) -> Iterator[Item]:
    """Let items through; about once a second say how many have passed and how fast, and at the end.

    On a terminal the line is overwritten; elsewhere a line is written every ten seconds.
    """
    terminal = out.isatty()
    every, ending = (1.0, "\r") if terminal else (10.0, "\n")
    began = said = monotonic()
    number = 0
    for number, item in enumerate(items, start=1):
        yield item
        if number % 1_000 == 0 and monotonic() - said >= every:
            said = monotonic()
            print(_line(number, total, what, said - began), end=ending, file=out, flush=True)
    print(_line(number, total, what, monotonic() - began), file=out, flush=True)


def _line(number: int, total: int | None, what: str, seconds: float) -> str:
    share = f" of {total:,}" if total else ""
    return f"  {number:,}{share} {what} in {seconds:.1f} s, {number / max(seconds, 1e-9):,.0f} a second"
