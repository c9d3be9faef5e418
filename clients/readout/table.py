"""Tell a readout as a table and a few sentences."""

from __future__ import annotations

from collections.abc import Iterator

from domain.experiment.page.page import HEAD, cells
from domain.experiment.readout import Readout
from domain.experiment.words import conclusions

WIDTHS = (18, 16, 10, 11, 11, 32, 9, 8, 24)


def lines(readout: Readout) -> Iterator[str]:
    """Write the conclusions, then a line for each outcome and arm."""
    look, stopping = readout.look, readout.experiment.stopping
    yield (
        f"{readout.experiment.name}, as of {look.as_of}: day {look.elapsed} of {stopping.days}, "
        f"{look.units:,} units, {stopping.design.value.replace('_', ' ')} design"
    )
    yield from (f"  {said}" for said in conclusions(readout))
    yield ""
    yield _line(HEAD)
    yield from (_line(cells(finding)) for finding in readout.findings)


def _line(texts: tuple[str, ...]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(texts, WIDTHS, strict=True)).rstrip()
