"""Say in plain words what may be concluded of an experiment now."""

from __future__ import annotations

import math
from collections.abc import Iterator

from domain.experiment.declaration import Design
from domain.experiment.looks import Look
from domain.experiment.readout import BROKEN, Finding, Readout, Role, Verdict, is_shown

NOTABLE = 0.01
"""A share of units that saw several arms from which on a reader is told: assignment is then not sticky."""

HARDLY = 10.0  # standard errors: a bound so far out is none that data reach


def conclusions(readout: Readout) -> list[str]:
    """Conclude, the weightiest first: a broken ratio stands above every result."""
    results = (*_primary(readout), *_guardrails(readout), *_secondary(readout), *_slices(readout))
    return [*_ratio(readout), *_excluded(readout), *results]


def believed(readout: Readout) -> list[str]:
    """Say what is believed of the primary outcome, and of what a bandit has cost; nothing if the ratio is broken."""
    return [] if readout.ratio.is_broken else [*_beliefs(readout), *_regret(readout)]


def share(value: float) -> str:
    """Write a relative effect.

    >>> share(0.1234)
    '+12.3 %'
    """
    return f"{value:+.1%}".replace("%", " %") if math.isfinite(value) else "not estimable"


def size(finding: Finding) -> str:
    """Write an effect with the design's interval, relative where the control's mean is not near nought."""
    valid = finding.valid
    if math.isfinite(valid.relative):
        return f"{share(valid.relative)} ({share(valid.relative_low)} to {share(valid.relative_high)})"
    return f"{valid.effect:+.4g} ({valid.low:+.4g} to {valid.high:+.4g})"


def _ratio(readout: Readout) -> Iterator[str]:
    if readout.ratio.is_broken:
        total = sum(readout.arm_to_units.values())
        got = ", ".join(f"{arm} {count / total:.2%}" for arm, count in readout.arm_to_units.items())
        wanted = ", ".join(f"{arm} {part:.2%}" for arm, part in readout.experiment.arm_to_share.items())
        yield (
            f"Conclude nothing: the sample ratio is broken. Units came as {got}, and should as {wanted} "
            f"(always-valid p = {readout.ratio.anytime:.2g}, below {BROKEN:g}). Find out who is missing; until then "
            "no number below can be trusted."
        )


def _excluded(readout: Readout) -> Iterator[str]:
    whole = sum(readout.arm_to_units.values()) + readout.excluded
    if whole and readout.excluded > NOTABLE * whole:
        yield (
            f"{readout.excluded:,} of {whole:,} units saw more than one arm and are left out: look for a place that "
            "assigns anew, or for a unit that is shared."
        )


def _primary(readout: Readout) -> Iterator[str]:
    for finding in readout.findings:
        if finding.role is Role.PRIMARY:
            yield _of_primary(readout, finding)


def _of_primary(readout: Readout, finding: Finding) -> str:
    arm, outcome, control = finding.arm, finding.outcome, readout.experiment.control
    if finding.verdict is Verdict.NOTHING:
        return f"{arm}: nothing can be said of {outcome}, {finding.reading.why}."
    if finding.verdict is Verdict.UNTRUSTED:
        return f"{arm}: the effect on {outcome} is not to be trusted."
    if finding.verdict in (Verdict.BETTER, Verdict.WORSE):
        since = readout.stopped[arm].isoformat()
        act = _act(readout, finding)
        return f"{arm} is {finding.verdict.value} than {control} in {outcome}: {size(finding)}, shown on {since}. {act}"
    if finding.verdict is Verdict.NONE:
        return (
            f"{arm}: the plan is over and no difference from {control} in {outcome} was shown: {size(finding)}. "
            "What lies outside the interval is excluded; an effect inside it is not."
        )
    return f"{arm}: {outcome} is not yet decided, {size(finding)}. {_wait(readout, readout.look)}"


def _act(readout: Readout, finding: Finding) -> str:
    if finding.verdict is not Verdict.BETTER:
        return "You may stop and drop it."
    others = [each for each in readout.findings if each.role is Role.PRIMARY and each.verdict is Verdict.BETTER]
    if len(others) > 1:
        return "You may stop; of the better arms choose the one that is most probably the best."
    return "You may stop and choose it."


def _wait(readout: Readout, look: Look) -> str:
    stopping = readout.experiment.stopping
    day = f"Day {look.elapsed} of {stopping.days}"
    if stopping.design is Design.FIXED:
        return f"{day}: a fixed design is read once, on day {stopping.days}; do not act on what you see before."
    if stopping.design is Design.ALWAYS_VALID:
        return f"{day}: the interval holds at any moment, so look again whenever you like."
    if look.bound > HARDLY:
        return f"{day}: so early that no effect is acted upon; go on."
    return f"{day}: a statistic must lie {look.bound:.2f} standard errors out to stop today; go on."


def _guardrails(readout: Readout) -> Iterator[str]:
    for finding in readout.findings:
        if finding.role is Role.GUARDRAIL and finding.margin is not None:
            yield _of_guardrail(finding, finding.margin)


def _of_guardrail(finding: Finding, margin: float) -> str:
    start = f"{finding.arm}: guardrail {finding.outcome}"
    if finding.verdict is Verdict.NOTHING:
        return f"{start}: {finding.reading.why}."
    if finding.verdict is Verdict.HOLDS:
        return f"{start} holds: a worsening by {margin:.0%} or more is excluded."
    if finding.verdict is Verdict.BREAKS:
        return f"{start} BREAKS: it is worse by more than {margin:.0%}. Do not choose this arm."
    if finding.verdict is Verdict.UNTRUSTED:
        return f"{start} is not to be trusted."
    return f"{start} is open: a worsening by {margin:.0%} is not yet excluded, {size(finding)}."


def _secondary(readout: Readout) -> Iterator[str]:
    for finding in readout.findings:
        if finding.role is Role.SECONDARY and finding.verdict in (Verdict.BETTER, Verdict.WORSE):
            where = f"{finding.outcome}, a secondary outcome"
            yield f"{finding.arm} is {finding.verdict.value} in {where}: {size(finding)}."
        if finding.role is Role.SECONDARY and finding.verdict is Verdict.NOTHING:
            yield f"{finding.arm}: nothing can be said of {finding.outcome}, {finding.reading.why}."


def _slices(readout: Readout) -> Iterator[str]:
    shown: dict[str, list[Finding]] = {}
    for finding in readout.slices:
        if is_shown(finding) and not readout.ratio.is_broken:
            shown.setdefault(finding.arm, []).append(finding)
    for arm, found in shown.items():
        yield (
            f"{arm}: {found[0].outcome} stands out among units of "
            f"{', '.join(f'{finding.slice} {size(finding)}' for finding in found)}, also after the correction for "
            f"{len(readout.slices)} slices (Benjamini and Hochberg): a question for the next experiment, not an answer "
            "of this one."
        )


def _beliefs(readout: Readout) -> Iterator[str]:
    for finding in readout.findings:
        if finding.role is Role.PRIMARY and finding.belief:
            odds, control = finding.belief, readout.experiment.control
            yield (
                f"Given the data, {finding.arm} is better than {control} in {finding.outcome} with a probability of "
                f"{odds.better:.1%}, and the best of all arms with {odds.best:.1%}. Choosing it is expected to cost "
                f"{odds.loss:.2g} of {finding.outcome} a unit; the difference is below what was declared to matter "
                f"with {odds.equivalent:.1%}."
            )


def _regret(readout: Readout) -> Iterator[str]:
    if readout.regret:
        lost, outcome = readout.regret, readout.experiment.primary.name
        yield (
            f"Not having chosen the best arm for each of {lost.units:,.0f} units is expected to have cost "
            f"{lost.expected:,.4g} {outcome} so far, and at most {lost.at_most:,.4g} with a probability of "
            f"{lost.level:.0%}."
        )
