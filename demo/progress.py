"""Say what is being done and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """The steps so far, each with its seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step, and its time when it is over."""
        started = time.monotonic()
        print(f"\n▸ {name}", flush=True)
        yield
        self.seconds[name] = time.monotonic() - started
        print(f"  {self.seconds[name]:.1f} s", flush=True)

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


def tell(line: str) -> None:
    """Print a line under the step at hand."""
    print(f"  {line}", flush=True)


def retell(line: str) -> None:
    """Print a line over the last one, on a terminal; elsewhere stay silent until it changes for good."""
    if sys.stdout.isatty():
        print(f"\r\033[K  {line}", end="", flush=True)
