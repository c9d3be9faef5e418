"""Write a readout as a page with its pictures in it, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from enum import Enum
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from domain.experiment.page.figures import figures, treatments
from domain.experiment.readout import Finding, Readout
from domain.experiment.words import believed, conclusions, share, size

TEMPLATE = Path(__file__).with_name("page.html")
STYLE = Path(__file__).with_name("style.css")
CAPTIONS = {
    "forest": "Relative to the control. A tick is a guardrail's margin; slices are to look at, not to conclude from.",
    "course": "What was known at the end of each day.",
    "statistic": "A bound once crossed stays crossed.",
    "densities": "The narrower a curve, the more is known; what the curves share is what is still open.",
    "allocation": "By the day of a unit's first exposure.",
}
HEAD = ("outcome", "arm", "units", "control", "arm's", "effect", "p", "better", "verdict")
ODDS = ("outcome", "arm", "difference", "better", "best", "loss", "equivalent")


def files(readout: Readout) -> dict[str, str]:
    """Write `page.html`, `readings.json` and the page's pictures once more, each alone; return texts by file name."""
    drawn = figures(readout)
    return {
        "page.html": render(readout, drawn),
        "readings.json": json.dumps(as_json(readout), indent=1) + "\n",
        **{f"{name}.svg": picture for name, picture in drawn.items()},
    }


def as_json(readout: Readout) -> dict[str, Any]:
    """Turn a readout into JSON; what cannot be estimated is null, and says why beside it."""
    known: dict[str, Any] = _plain(readout)
    known["experiment"] = readout.experiment.name
    return {**known, "conclusions": conclusions(readout), "believed": believed(readout)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: _plain(part) for name, part in named.items() if name != "experiment"}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Enum | date):
        return value.value if isinstance(value, Enum) else value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def render(readout: Readout, drawn: Mapping[str, str]) -> str:
    """Render the whole page, in which everything that it shows is."""
    look, stopping = readout.look, readout.experiment.stopping
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=STYLE.read_text(encoding="utf-8"),
        title=escape(readout.experiment.name),
        subtitle=f"as of {look.as_of} · day {look.elapsed} of {stopping.days} · {stopping.design.value} design",
        alarm=" alarm" if readout.ratio.is_broken else "",
        conclusions="".join(f"<li>{escape(said)}</li>" for said in conclusions(readout)),
        cards="".join(_cards(readout)),
        pictures="".join(_figure(name, picture) for name, picture in drawn.items()),
        findings=rows(HEAD, [cells(found) for found in readout.findings]),
        believed=_believed(readout),
        odds=rows(ODDS, [_odds(found) for found in readout.findings if found.belief]),
        slices=rows(("slice", *HEAD), [(found.slice, *cells(found)[:-1], "") for found in readout.slices]),
        course=rows(("day", "units", "bound", "ratio, always valid", *treatments(readout)), _course(readout)),
        allocation=rows(("first exposed on", *readout.arm_to_units), _allocation(readout)),
        declared=escape(json.dumps(_declared(readout), indent=1)),
    )


def _believed(readout: Readout) -> str:
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in believed(readout))
    return f"<h3>What is believed</h3><ul>{said}</ul>" if said else ""


def _cards(readout: Readout) -> Iterable[str]:
    for arm, count in readout.arm_to_units.items():
        part = count / max(1, sum(readout.arm_to_units.values()))
        yield _card(f"{count:,}", f"units saw {arm}", f"{part:.2%} of all")
    yield _card(f"{readout.excluded:,}", "saw several arms", "left out")
    ratio = readout.ratio
    yield _card(
        "BROKEN" if ratio.is_broken else "not asked" if ratio.why else "holds", "sample ratio", _p_values(readout)
    )
    if readout.regret:
        lost = readout.regret
        name = f"{readout.experiment.primary.name} lost by exploring, expected"
        yield _card(f"{lost.expected:,.4g}", name, f"with {lost.level:.0%} at most {lost.at_most:,.4g}")


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


def _p_values(readout: Readout) -> str:
    ratio = readout.ratio
    return ratio.why or f"p = {ratio.p_value:.2g} today, {ratio.anytime:.2g} over all looks"


def _odds(found: Finding) -> tuple[str, ...]:
    odds = found.belief
    assert odds is not None
    interval = f"{odds.mean:+.4g} ({odds.low:+.4g} to {odds.high:+.4g})"
    chances = (f"{odds.better:.2%}", f"{odds.best:.2%}", f"{odds.loss:.3g}", f"{odds.equivalent:.2%}")
    return (found.outcome, found.arm, interval, *chances)


def _course(readout: Readout) -> Iterable[Sequence[str]]:
    for point in readout.course:
        effects = (share(point.arm_to_finding[arm].reading.relative) for arm in treatments(readout))
        look = point.look
        anytime = "" if math.isnan(point.ratio.anytime) else f"{point.ratio.anytime:.2g}"
        yield (look.as_of.isoformat(), f"{look.units:,}", f"{look.bound:.2f}", anytime, *effects)


def _allocation(readout: Readout) -> Iterable[Sequence[str]]:
    for day, arms in readout.allocation.items():
        whole = max(1, sum(arms.values()))
        yield (day, *(f"{count:,} ({count / whole:.1%})" for count in arms.values()))


def _declared(readout: Readout) -> dict[str, Any]:
    known = asdict(readout.experiment)
    return {name: _plain(value) for name, value in known.items() if name != "policy"}


def _card(figure: str, name: str, note: str) -> str:
    return f'<div class="card"><b>{escape(figure)}</b><span>{escape(name)}</span><i>{escape(note)}</i></div>'


def _figure(name: str, picture: str) -> str:
    wide = ' class="wide"' if name == "forest" else ""
    return f"<figure{wide}>{picture}<figcaption>{escape(CAPTIONS[name])}</figcaption></figure>"


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in body)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'
