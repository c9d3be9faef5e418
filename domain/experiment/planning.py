"""Say from the lake's past how long an experiment would run under each design, and refuse one that cannot work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.experiment.declaration import Design, Experiment, Guardrail, Outcome, Stopping
from domain.experiment.history import History
from domain.experiment.samples import Sample
from domain.experiment.sequential.plan import needed_drift, plan, power

LONGEST_DAYS = 365
"""No fix names more days: a year of one question is no plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What a design would take to find the least effect with the declared power.

    `days` until the units have come, `likely_days` until it stops if there is the effect, `power` with the units of the
    declared days; `kept` is the power that it keeps where one look at the end has the declared one.
    """

    design: Design
    units: float
    days: float
    likely_days: float
    power: float
    kept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the past says of an experiment's plan.

    `options` are of every design, for the primary outcome; `least_effect` is what the declared design finds in the
    declared days; `guardrails` maps each to the days until its margin could be excluded; `reasons` say why the plan
    cannot work, each with a fix, and are empty for one that can.
    """

    experiment: Experiment
    history: History
    units: float
    options: Sequence[Option]
    least_effect: float
    guardrails: Mapping[str, float]
    reasons: Sequence[str]

    @property
    def declared(self) -> Option:
        """The option of the design that is declared."""
        return next(each for each in self.options if each.design is self.experiment.stopping.design)


class CannotBePlanned(ValueError):
    """An outcome whose past allows no plan: it never happened, or never differed."""


def advise(experiment: Experiment, known: Mapping[str, History]) -> Advice:
    """Plan with the past of the primary outcome and of the guardrails, by their names."""
    history, stopping = known[experiment.primary.name], corrected(experiment)
    sample = _sample(experiment.primary, history)
    share = share_of_all(experiment)
    coming = share * history.units(stopping.days)
    noise = _noise(experiment, sample, sample)
    options = _options(experiment, history, stopping)
    least = needed_drift(stopping) * math.sqrt(noise / coming) / abs(sample.mean) if coming else math.inf
    guardrails = {
        each.outcome.name: _guarded(experiment, each, known[each.outcome.name], stopping)
        for each in experiment.guardrails
    }
    found = Advice(
        experiment=experiment,
        history=history,
        units=coming,
        options=options,
        least_effect=least,
        guardrails=guardrails,
        reasons=(),
    )
    return replace(found, reasons=_reasons(found))


def corrected(experiment: Experiment) -> Stopping:
    """Return the stopping rule at the level that one of several arms is held against (Holm's first step)."""
    compared = max(len(experiment.arms) - 1, 1)
    return replace(experiment.stopping, alpha=experiment.stopping.alpha / compared)


def share_of_all(experiment: Experiment) -> float:
    """Return the share of all units that the experiment gets: its span, less the holdout."""
    low, high = experiment.span
    return (high - low) * (1 - experiment.holdout)


def shares(experiment: Experiment) -> tuple[float, float]:
    """Return the control's share and that of the arm that gets least; a bandit's arms as if they shared evenly."""
    if experiment.policy is not None:
        return 1 / len(experiment.arms), 1 / len(experiment.arms)
    others = [share for arm, share in experiment.arm_to_share.items() if arm != experiment.control and share > 0]
    return experiment.arm_to_share[experiment.control], min(others, default=0.0)


def _options(experiment: Experiment, history: History, stopping: Stopping) -> list[Option]:
    sample, part = history.sample, shares(experiment)
    coming = share_of_all(experiment) * history.units(stopping.days)
    drift = experiment.minimum_effect * abs(sample.mean) / math.sqrt(_noise(experiment, sample, sample) / coming)
    once = needed_drift(replace(stopping, design=Design.FIXED))
    found = []
    for design in Design:
        rule = replace(stopping, design=design)
        sized = plan(
            rule,
            mean=sample.mean,
            deviation=math.sqrt(sample.variance),
            shares=part,
            effect=experiment.minimum_effect,
            units_a_day=1.0,
        )
        needed = sized.units / share_of_all(experiment)
        found.append(
            Option(
                design=design,
                units=sized.units,
                days=history.days(needed),
                likely_days=history.days(needed * sized.expected_share),
                power=power(rule, drift),
                kept=power(rule, once),
            )
        )
    return found


def _noise(experiment: Experiment, control: Sample, arm: Sample) -> float:
    """Return the variance of the arms' difference, times all units."""
    first, second = shares(experiment)
    if not (first > 0 and second > 0):
        raise CannotBePlanned(f"experiment {experiment.name!r}: an arm has no share; nothing will be compared with it")
    return control.variance / first + arm.variance / second


def _guarded(experiment: Experiment, guardrail: Guardrail, history: History, stopping: Stopping) -> float:
    """Say after how many days a loss of the margin could be excluded of an arm that loses nothing."""
    sample = _sample(guardrail.outcome, history)
    kept = 1 - guardrail.margin
    noise = _noise(experiment, Sample(sample.count, sample.mean, kept**2 * sample.variance), sample)
    units = noise * (needed_drift(stopping) / (guardrail.margin * sample.mean)) ** 2
    return history.days(units / share_of_all(experiment))


def _sample(outcome: Outcome, history: History) -> Sample:
    sample = history.sample
    if not (math.isfinite(sample.mean) and sample.mean and math.isfinite(sample.variance) and sample.variance > 0):
        raise CannotBePlanned(
            f"outcome {outcome.name!r} was {sample.mean:.4g} with a variance of {sample.variance:.4g} over "
            f"{sample.count:,.0f} units: what never happens, or never differs, tells no arms apart; name another"
        )
    return sample


def _reasons(advice: Advice) -> tuple[str, ...]:
    """Say why the plan cannot work; a bandit needs none to start."""
    experiment, stopping, found = advice.experiment, advice.experiment.stopping, advice.declared
    reasons = []
    if experiment.policy is None and found.days > stopping.days:
        longer = f"stopping.days={math.ceil(found.days)}, " if found.days <= LONGEST_DAYS else ""
        better = min(advice.options, key=lambda option: option.days)
        fits = better.days <= stopping.days
        other = f", or design {better.design.value}, which takes {better.days:.1f}" if fits else ""
        reasons.append(
            f"stopping.days is {stopping.days}: {experiment.minimum_effect:.1%} of {experiment.primary.name} is found "
            f"with power {stopping.power:.0%} after {_days(found.days)} days, in {stopping.days} with power "
            f"{found.power:.0%}; give {longer}minimum_effect={advice.least_effect:.3f}{other}"
        )
    reasons += [
        f"guardrail {name} takes {_days(days)} days to exclude its margin, and the plan ends after {stopping.days}; "
        "give a wider margin, or more days"
        for name, days in advice.guardrails.items()
        if experiment.policy is None and days > stopping.days
    ]
    return tuple(reasons)


def _days(days: float) -> str:
    return f"{days:.1f}" if days <= LONGEST_DAYS else f"over {LONGEST_DAYS}"
