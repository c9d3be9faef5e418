"""Tell a readout as a table and a few sentences."""

from __future__ import annotations

from collections.abc import Iterator

from domain.experiment.readout import Finding, Readout
from domain.experiment.words import conclusions, size

HEAD = ("outcome", "arm", "units", "control", "arm's", "effect", "p", "better", "verdict")
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


def cells(finding: Finding) -> tuple[str, ...]:
    """Write a finding's cells, in the order of HEAD."""
    is_there = finding.reading.is_estimable
    return (
        finding.outcome,
        finding.arm,
        f"{finding.units:,}",
        f"{finding.control:.5g}" if is_there else "",
        f"{finding.mean:.5g}" if is_there else "",
        size(finding) if is_there else finding.reading.why,
        f"{finding.adjusted:.2g}" if is_there else "",
        f"{finding.belief.better:.1%}" if finding.belief else "",
        finding.verdict.value,
    )


def _line(texts: tuple[str, ...]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(texts, WIDTHS, strict=True)).rstrip()
