"""Read an experiment: what each arm did to each outcome, and whether it may be acted upon yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum

import numpy as np
from scipy.special import ndtr, stdtrit

from domain.experiment import frequentist, histogram, srm
from domain.experiment.bayesian import belief, compare
from domain.experiment.bayesian.belief import Belief
from domain.experiment.declaration import Better, Design, Experiment, Guardrail, Kind, Outcome
from domain.experiment.looks import Look, looks
from domain.experiment.moments import empty
from domain.experiment.multiplicity import benjamini_hochberg, holm
from domain.experiment.reading import Reading, not_estimable
from domain.experiment.regret import Regret, regret
from domain.experiment.samples import Sample, adjusted, of_mean, of_ratio, stratified
from domain.experiment.sequential import always
from domain.experiment.statistics import EVERYONE, MEASURES, Snapshot, Summary

BROKEN = 1e-3
"""An always-valid p-value of the sample ratio below this breaks it (Fabijan et al. 2019 take 0.0005 to 0.01)."""

UNALIKE = "the policy chooses by the context, so arms' units are not alike; `make value` weighs them by propensities"

MANY = 1e6
"""Degrees of freedom; with fewer a bound is a deviate of Student's, as the p-value is."""

LEAST = 2  # units of an arm for a stratum to have a variance


class Role(str, Enum):
    """What an outcome is for."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    GUARDRAIL = "guardrail"


class Verdict(str, Enum):
    """What may be concluded of an arm's effect on an outcome."""

    BETTER = "better"
    WORSE = "worse"
    HOLDS = "not worse than the margin"
    BREAKS = "worse than the margin"
    OPEN = "not yet decided"
    NONE = "no difference shown"
    NOTHING = "not estimable"
    UNTRUSTED = "not to be trusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """What is believed of an arm beside the control: the difference, the chance to be better and to be best, the loss.

    `loss` is what choosing the arm is expected to cost; `equivalent` the chance of a difference below the least effect
    that was declared to matter.
    """

    mean: float
    low: float
    high: float
    better: float
    best: float
    loss: float
    equivalent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one arm did to one outcome: read as if looked at once, as the design allows, and by belief.

    `adjusted` is the design's p-value after Holm's correction, over slices Benjamini and Hochberg's, to be held against
    `level`; `not_worse` is a guardrail's.
    """

    outcome: str
    better: Better
    role: Role
    arm: str
    slice: str
    units: int
    control: float
    mean: float
    reading: Reading
    valid: Reading
    level: float
    adjusted: float = math.nan
    belief: Odds | None = None
    margin: float | None = None
    not_worse: float = math.nan
    verdict: Verdict = Verdict.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Whether arms got the units that they should: the p-value of one look, and the one valid at all of them."""

    p_value: float
    anytime: float
    why: str = ""

    @property
    def is_broken(self) -> bool:
        """Whether nothing else is to be believed."""
        return self.anytime < BROKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A day of the course: the look, and what each arm's primary finding was then."""

    look: Look
    arm_to_finding: Mapping[str, Finding]
    ratio: Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """All that is read of an experiment.

    `stopped` maps an arm to the first day on which its effect was shown, `allocation` a day to the units that came to
    each arm on it, `beliefs` an arm to what is believed of its primary outcome, if that can be estimated; `regret` is a
    bandit's.
    """

    experiment: Experiment
    look: Look
    arm_to_units: Mapping[str, int]
    allocation: Mapping[str, Mapping[str, int]]
    excluded: int
    ratio: Ratio
    findings: Sequence[Finding]
    slices: Sequence[Finding]
    course: Sequence[Point]
    stopped: Mapping[str, date]
    beliefs: Mapping[str, Belief]
    regret: Regret | None = None

    def of(self, outcome: str, arm: str) -> Finding:
        """Find what an arm did to an outcome."""
        return next(found for found in self.findings if (found.outcome, found.arm) == (outcome, arm))


class NoStatistics(ValueError):
    """There is nothing to read: no unit has been exposed, or the job has not run."""


def read(experiment: Experiment, known: Sequence[Snapshot]) -> Readout:
    """Read an experiment from what was known at the end of each day; raise NoStatistics where no unit was exposed."""
    seen = [snapshot for snapshot in known if snapshot.units]
    if not seen:
        raise NoStatistics(f"experiment {experiment.name!r}: no unit has been exposed as far as the statistics go")
    taken, course, least = looks(experiment, seen), [], 1.0
    for snapshot, look in zip(seen, taken, strict=True):
        ratio = sample_ratio(experiment, snapshot, least)
        least = min(least, ratio.anytime)
        primary = _compared(experiment, experiment.primary, Role.PRIMARY, snapshot, look)
        course.append(Point(look=look, arm_to_finding={found.arm: found for found in primary}, ratio=ratio))
    last, look = seen[-1], taken[-1]
    stopped = _stopped(experiment, course)
    findings = [
        replace(found, verdict=_verdict(found, look, course, stopped, experiment))
        for found in _all(experiment, last, look)
    ]
    if course[-1].ratio.is_broken:
        findings = [replace(found, verdict=Verdict.UNTRUSTED) for found in findings]
    return Readout(
        experiment=experiment,
        look=look,
        arm_to_units={arm.name: last.arm_to_units.get(arm.name, 0) for arm in experiment.arms},
        allocation={
            day.isoformat(): {arm.name: last.units.get((day, arm.name), 0) for arm in experiment.arms}
            for day in sorted({day for day, _ in last.units})
        },
        excluded=last.excluded,
        ratio=course[-1].ratio,
        findings=findings,
        slices=_sliced(experiment, last, look),
        course=course,
        stopped=stopped,
        beliefs=_believed(experiment, experiment.primary, samples(experiment, experiment.primary, last)),
        regret=_regret(experiment, last),
    )


def sample_ratio(experiment: Experiment, snapshot: Snapshot, least: float = 1.0) -> Ratio:
    """Check the arms' shares of units; `least` is the least always-valid p-value of the looks before."""
    if experiment.policy is not None:
        return Ratio(p_value=math.nan, anytime=math.nan, why="the arms' shares are the policy's to choose")
    units, shares = snapshot.arm_to_units, experiment.arm_to_share
    return Ratio(p_value=srm.mismatch(units, shares), anytime=min(least, always.mismatch(units, shares)))


def samples(experiment: Experiment, outcome: Outcome, snapshot: Snapshot, slice_: str = EVERYONE) -> dict[str, Sample]:
    """Estimate an outcome in every arm.

    Under a policy, whose shares move, days are strata: else an arm that was shown on the better days would seem better
    itself.
    """
    if experiment.policy is None or outcome.kind is Kind.QUANTILE or slice_ != EVERYONE:
        return _samples(experiment, outcome, snapshot.arms(outcome.name, slice_))
    days = _filled(experiment, snapshot.strata(outcome.name))
    return stratified({day: _samples(experiment, outcome, arms) for day, arms in days.items()})


def _filled(experiment: Experiment, days: Mapping[str, dict[str, Summary]]) -> dict[str, dict[str, Summary]]:
    """Merge days until every arm has units enough for a variance."""
    found: list[tuple[str, dict[str, Summary]]] = []
    for day, arms in days.items():
        if found and not _is_full(experiment, found[-1][1]):
            found.append((day, _together(found.pop()[1], arms)))
        else:
            found.append((day, arms))
    if len(found) > 1 and not _is_full(experiment, found[-1][1]):
        day, rest = found.pop()
        found[-1] = (day, _together(found[-1][1], rest))
    return dict(found)


def _is_full(experiment: Experiment, arms: Mapping[str, Summary]) -> bool:
    return all(arm.name in arms and arms[arm.name].moments.count >= LEAST for arm in experiment.arms)


def _together(one: Mapping[str, Summary], other: Mapping[str, Summary]) -> dict[str, Summary]:
    both = dict(one)
    for arm, summary in other.items():
        both[arm] = both[arm] + summary if arm in both else summary
    return both


def _samples(experiment: Experiment, outcome: Outcome, arms: Mapping[str, Summary]) -> dict[str, Sample]:
    there = {arm.name: arms.get(arm.name, Summary(empty(MEASURES))) for arm in experiment.arms}
    if not all(
        np.isfinite(found.moments.mean).all() and np.isfinite(found.moments.product).all() for found in there.values()
    ):
        return {name: Sample(found.moments.count, math.nan, math.nan) for name, found in there.items()}
    if outcome.kind is Kind.QUANTILE:
        return {name: _quantile(outcome, found) for name, found in there.items()}
    below = "denominator" if outcome.kind is Kind.RATIO else None
    moments = {name: found.moments for name, found in there.items()}
    if outcome.lookback_days and all(found.count for found in moments.values()):
        return adjusted(moments, "value", ["covariate"], below)
    if below:
        return {name: of_ratio(found, "value", below) for name, found in moments.items()}
    return {name: of_mean(found, "value") for name, found in moments.items()}


def _quantile(outcome: Outcome, found: Summary) -> Sample:
    """Estimate a quantile over events; those of one unit count as wholly alike, which no truth exceeds."""
    moments, place = found.moments, MEASURES.index("value")
    events = moments.count * moments.of("value")
    squares = float(moments.product[place, place]) + events * moments.of("value")
    counted = found.histogram or histogram.Histogram({})
    return histogram.sample(counted, float(outcome.quantile or 0), moments.count, squares / events if events else 1.0)


def _compared(
    experiment: Experiment, outcome: Outcome, role: Role, snapshot: Snapshot, look: Look, *, slice_: str = EVERYONE
) -> list[Finding]:
    """Compare every arm with the control, corrected for how many there are."""
    there = samples(experiment, outcome, snapshot, slice_)
    control = there[experiment.control]
    beliefs = _beliefs(experiment, outcome, there)
    found = []
    for name in (arm.name for arm in experiment.arms if arm.name != experiment.control):
        reading = _reading(experiment, outcome, control, there[name])
        valid = _valid(experiment, reading, look)
        found.append(
            Finding(
                outcome=outcome.name,
                better=outcome.better,
                role=role,
                arm=name,
                slice=slice_,
                units=int(there[name].count),
                control=control.mean,
                mean=there[name].mean,
                reading=reading,
                valid=valid,
                level=_level(experiment, look),
                belief=beliefs.get(name),
            )
        )
    return _corrected(found)


def _sliced(experiment: Experiment, snapshot: Snapshot, look: Look) -> list[Finding]:
    """Compare the primary outcome within every slice; of what stands out, few at the level are false (an exploration).

    Slices are many and nobody named one beforehand: a correction that excludes any false alarm would see nothing.
    """
    found = [
        finding
        for name in snapshot.slices
        for finding in _compared(experiment, experiment.primary, Role.PRIMARY, snapshot, look, slice_=name)
    ]
    return _corrected(found, benjamini_hochberg)


def _corrected(found: Sequence[Finding], correction: Callable[[Sequence[float]], list[float]] = holm) -> list[Finding]:
    """Adjust the design's p-values for how many are asked at once."""
    there = [place for place, finding in enumerate(found) if finding.valid.is_estimable]
    p_values = dict(zip(there, correction([found[place].valid.p_value for place in there]), strict=True))
    return [replace(finding, adjusted=p_values.get(place, math.nan)) for place, finding in enumerate(found)]


def _reading(experiment: Experiment, outcome: Outcome, control: Sample, arm: Sample) -> Reading:
    if experiment.is_contextual:
        return not_estimable(UNALIKE)
    alpha = experiment.stopping.alpha
    if outcome.kind is Kind.PROPORTION and not outcome.lookback_days and experiment.policy is None:
        return _by_score(control, arm, alpha)
    if outcome.kind is Kind.QUANTILE and any(_lacks_values(sample) for sample in (control, arm)):
        return not_estimable(f"too few values for an interval of the quantile {outcome.quantile}")
    return frequentist.compare(control, arm, alpha)


def _lacks_values(sample: Sample) -> bool:
    return math.isfinite(sample.mean) and math.isnan(sample.variance)


def _by_score(control: Sample, arm: Sample, alpha: float) -> Reading:
    for name, sample in (("control", control), ("arm", arm)):
        if sample.count and not math.isfinite(sample.mean):
            return not_estimable(f"the {name}'s share is {sample.mean}")
    pairs = [(round(sample.mean * sample.count) if sample.count else 0.0, sample.count) for sample in (control, arm)]
    return frequentist.compare_proportions(pairs[0], pairs[1], alpha)


def _valid(experiment: Experiment, reading: Reading, look: Look) -> Reading:
    """Read as the design allows: at its bound, or at any moment."""
    if not reading.is_estimable or experiment.stopping.design is Design.FIXED:
        return reading
    if experiment.stopping.design is Design.ALWAYS_VALID:
        return always.sequence(reading, look.units, look.planned, experiment.stopping.alpha)
    half = -float(stdtrit(reading.degrees, look.level / 2)) if reading.degrees < MANY else look.bound
    return reading.widened(max(half, look.bound) * reading.standard_error)


def _level(experiment: Experiment, look: Look) -> float:
    """Return what a p-value of this look is held against."""
    if experiment.stopping.design is Design.GROUP_SEQUENTIAL:
        return look.level
    return experiment.stopping.alpha


def _beliefs(experiment: Experiment, outcome: Outcome, there: Mapping[str, Sample]) -> dict[str, Odds]:
    """Compare beliefs in what is better; a proportion's prior is uniform, else every mean was as likely."""
    sign = 1.0 if outcome.better is Better.HIGHER else -1.0
    known = _believed(experiment, outcome, there, sign)
    if not known:
        return {}
    best = dict(zip(known, compare.probabilities_of_best(list(known.values())), strict=True))
    control = known[experiment.control]
    rope = abs(there[experiment.control].mean) * experiment.minimum_effect
    found = {}
    for name, arm in known.items():
        against = compare.compare(control, arm, rope=rope, level=1 - experiment.stopping.alpha)
        low, high = sorted((sign * against.low, sign * against.high))
        found[name] = Odds(
            mean=sign * against.mean,
            low=low,
            high=high,
            better=against.better,
            best=best[name],
            loss=against.loss,
            equivalent=against.equivalent,
        )
    return found


def _believed(
    experiment: Experiment, outcome: Outcome, there: Mapping[str, Sample], sign: float = 1.0
) -> dict[str, Belief]:
    """Say what is believed of each arm's mean, times `sign`; nothing of any where one cannot be estimated."""
    if experiment.is_contextual or not all(each.count >= LEAST and each.error > 0 for each in there.values()):
        return {}
    return {name: _belief(experiment, outcome, sample, sign) for name, sample in there.items()}


def _regret(experiment: Experiment, snapshot: Snapshot) -> Regret | None:
    """Say what a bandit has cost so far, in its primary outcome."""
    if experiment.policy is None or experiment.primary.kind in (Kind.RATIO, Kind.QUANTILE):
        return None  # a sum over units is what these are not
    sign = 1.0 if experiment.primary.better is Better.HIGHER else -1.0
    known = _believed(experiment, experiment.primary, samples(experiment, experiment.primary, snapshot), sign)
    return regret(snapshot.arm_to_units, known) if known else None


def _belief(experiment: Experiment, outcome: Outcome, sample: Sample, sign: float) -> Belief:
    if outcome.kind is Kind.PROPORTION and not outcome.lookback_days and experiment.policy is None:
        hits = round(sample.mean * sample.count)
        return belief.of_proportion(hits if sign > 0 else sample.count - hits, sample.count)
    return belief.of_mean(Sample(sample.count, sign * sample.mean, sample.variance))


def _all(experiment: Experiment, snapshot: Snapshot, look: Look) -> list[Finding]:
    """Compare all outcomes: the primary alone, the secondary ones corrected together, guardrails by their margins."""
    primary = _compared(experiment, experiment.primary, Role.PRIMARY, snapshot, look)
    secondary = _corrected(
        [
            found
            for outcome in experiment.secondary
            for found in _compared(experiment, outcome, Role.SECONDARY, snapshot, look)
        ]
    )
    return [*primary, *secondary, *_guarded(experiment, snapshot, look)]


def _guarded(experiment: Experiment, snapshot: Snapshot, look: Look) -> list[Finding]:
    found = []
    for guardrail in experiment.guardrails:
        there = samples(experiment, guardrail.outcome, snapshot)
        for finding in _compared(experiment, guardrail.outcome, Role.GUARDRAIL, snapshot, look):
            p_value = _not_worse(experiment, guardrail, there[experiment.control], there[finding.arm])
            found.append(replace(finding, margin=guardrail.margin, not_worse=p_value))
    return found


def _not_worse(experiment: Experiment, guardrail: Guardrail, control: Sample, arm: Sample) -> float:
    if experiment.is_contextual:
        return math.nan
    higher = guardrail.outcome.better is Better.HIGHER
    return frequentist.not_worse(
        control, arm, guardrail.margin, higher_is_better=higher, alpha=experiment.stopping.alpha
    )


def _stopped(experiment: Experiment, course: Sequence[Point]) -> dict[str, date]:
    """Find the first day on which each arm's effect on the primary outcome was shown, and could be acted upon.

    A bound once crossed stays crossed: what comes later is looked at without any error left for it.
    """
    found: dict[str, date] = {}
    acted = [point for point in course if _may_act(experiment, point.look)]
    for point in acted[:1] if experiment.stopping.design is Design.FIXED else acted:
        for arm, finding in point.arm_to_finding.items():
            if is_shown(finding):
                found.setdefault(arm, point.look.as_of)
    return found


def is_shown(finding: Finding) -> bool:
    """Whether the design lets one say that there is an effect."""
    return finding.adjusted <= finding.level


def _verdict(
    finding: Finding, look: Look, course: Sequence[Point], stopped: Mapping[str, date], experiment: Experiment
) -> Verdict:
    if not finding.reading.is_estimable:
        return Verdict.NOTHING
    if finding.role is Role.GUARDRAIL:
        return _guard(finding, look, experiment)
    shown: Finding | None = finding if _may_act(experiment, look) and is_shown(finding) else None
    if finding.role is Role.PRIMARY:
        points = (point for point in course if point.look.as_of == stopped.get(finding.arm))
        shown = next((point.arm_to_finding[finding.arm] for point in points), None)
    if shown is not None:
        better = (shown.reading.effect > 0) is (finding.better is Better.HIGHER)
        return Verdict.BETTER if better else Verdict.WORSE
    return Verdict.NONE if look.is_last else Verdict.OPEN


def _may_act(experiment: Experiment, look: Look) -> bool:
    """Whether the design lets one act on this look at all."""
    return experiment.stopping.design is not Design.FIXED or look.is_last


def _guard(finding: Finding, look: Look, experiment: Experiment) -> Verdict:
    """Judge a guardrail at the look's one-sided level."""
    level = float(ndtr(-look.bound))
    if not _may_act(experiment, look):
        return Verdict.OPEN
    if finding.not_worse <= level:
        return Verdict.HOLDS
    return Verdict.BREAKS if finding.not_worse >= 1 - level else Verdict.OPEN
