"""Declare an experiment: who is in it, what they get, what is measured, when it may be stopped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations
from typing import TYPE_CHECKING, Any

from domain.experiment import typed
from domain.experiment.features import LARGEST_ITEM, Feature, fault, largest, size

if TYPE_CHECKING:  # who only decides needs no events
    from domain.schema import Column, Record

NUMBERS = (int, float, bool)
MAIN_VARIANT = "main"
MOST_VARIANTS = 10  # SageMaker endpoint quotas
SUREST = 1e-12  # off nought and one: nearer to them no interval has digits
LIGHTEST = 1e-9  # of an arm's weights; by far lighter ones no double divides
LONGEST = 128  # characters of an experiment's and of an arm's name, as the contract of exposures has it
EXPERIMENT_NAME = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
OUTCOME_NAME = r"\w[\w -]*"  # it names columns
LONGEST_DAYS = 400  # for so long a decision is known
VARIANT_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"  # SageMaker's ProductionVariant


class InvalidExperiment(ValueError):
    """An experiment that cannot work as it is declared; the message names the field, the value and the fix."""


class Kind(str, Enum):
    """How an outcome's values of one unit become one number, and which reading follows."""

    PROPORTION = "proportion"  # whether the unit had the event
    COUNT = "count"  # how many events it had
    MEAN = "mean"  # the sum of a field over its events; nought without any
    RATIO = "ratio"  # a sum over another sum, of the whole arm
    QUANTILE = "quantile"  # of a field's values over all events


class Better(str, Enum):
    """Which way an outcome should move."""

    HIGHER = "higher"
    LOWER = "lower"


class Design(str, Enum):
    """When results may be acted upon."""

    FIXED = "fixed"  # once, at the end
    GROUP_SEQUENTIAL = "group_sequential"  # at planned looks, alpha spent between them
    ALWAYS_VALID = "always_valid"  # at any moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the things that a unit may get, and its share beside the other arms' weights.

    `model` is the version of a model package: the arm's units are then served by that model behind the endpoint.
    """

    name: str
    weight: float = 1.0
    model: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A number measured of each unit from the events after its first exposure.

    `field` is summed (a count needs none); a ratio divides by `denominator_field` of `denominator_event`, or by the
    number of these.  `cap` winsorizes a unit's value, the same in all arms.  `lookback_days` is the length of the
    period before exposure whose value is CUPED's covariate (Deng et al. 2013); 0 for none.
    """

    name: str
    event: str
    kind: Kind
    field: str | None = None
    denominator_event: str | None = None
    denominator_field: str | None = None
    quantile: float | None = None
    cap: float | None = None
    lookback_days: int = 0
    better: Better = Better.HIGHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """An outcome that must not get worse by more than `margin`, as a share of the control's."""

    outcome: Outcome
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """How long an experiment runs, how often it is looked at, and the errors that it may make."""

    design: Design = Design.GROUP_SEQUENTIAL
    days: int = 14
    looks: int = 14
    alpha: float = 0.05
    power: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a unit's context must hold for the unit to be in the experiment: `key` is one of `values`."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A question put to units of a population, each of which gets one arm.

    `span` is the experiment's own share of its layer: experiments of one layer with spans apart never share a unit.
    `holdout` is the share of units that no experiment of the layer touches.  `minimum_effect` is relative to the
    control.

    With a `policy` the arms' shares are a bandit's to choose, else their weights say.  A contextual policy chooses by
    `features` of the context, which each request must have.  Each arm that is not `frozen`
    keeps at least the share `floor`; rewards of decisions that are `half_life_hours` old weigh half.  What a unit got
    is kept for a bandit, and where `sticky` says so: then it keeps its first arm whatever the weights become.

    Everybody gets the arm that is `promoted`, and nobody is exposed any more: the question is answered.
    """

    name: str
    arms: tuple[Arm, ...]
    primary: Outcome
    secondary: tuple[Outcome, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    control: str = "control"
    unit: str = "user_id"
    policy: Any = None
    features: tuple[Feature, ...] = ()
    floor: float = 0.0
    half_life_hours: float | None = None
    frozen: tuple[str, ...] = ()
    sticky: bool = False
    promoted: str = ""
    layer: str = "default"
    span: tuple[float, float] = (0.0, 1.0)
    holdout: float = 0.0
    eligibility: tuple[Condition, ...] = ()
    minimum_effect: float = 0.05
    stopping: Stopping = field(default_factory=Stopping)
    salt: str = ""  # the name, unless an experiment is to assign as another did

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every outcome that is read, the primary first."""
        return (self.primary, *self.secondary, *(guardrail.outcome for guardrail in self.guardrails))

    @property
    def has_models(self) -> bool:
        """Whether arms are models behind the endpoint."""
        return any(arm.model is not None for arm in self.arms)

    @property
    def is_contextual(self) -> bool:
        """Whether the policy chooses by the context."""
        return callable(getattr(self.policy, "propensities", None))

    @property
    def is_kept(self) -> bool:
        """Whether each unit's arm is written down."""
        return self.sticky or self.policy is not None

    @property
    def arm_to_share(self) -> dict[str, float]:
        """Each arm's share of the experiment's units; they sum to one."""
        total = math.fsum(arm.weight for arm in self.arms)
        return {arm.name: arm.weight / total for arm in self.arms}


def check(experiments: Iterable[Experiment], events: Mapping[str, type[Record]]) -> None:
    """Raise InvalidExperiment for the first experiment that cannot work over `events`, alone or beside the others."""
    known = list(experiments)
    for experiment in known:
        if found := typed.fault(experiment):
            raise _refuse(experiment, *found)
        _check_names(experiment)
        _check_shares(experiment)
        _check_stopping(experiment)
        _check_bandit(experiment)
        _check_models(experiment)
        _check_guardrails(experiment)
        for outcome in experiment.outcomes:
            _check_outcome(experiment, outcome, events)
        _check_population(experiment, events)
    _check_together(known)


def _refuse(experiment: Experiment, place: str, value: Any, fix: str) -> InvalidExperiment:
    return InvalidExperiment(f"experiment {experiment.name!r}: {place} is {value!r}; {fix}")


def _check_names(experiment: Experiment) -> None:
    if not re.fullmatch(EXPERIMENT_NAME, experiment.name) or len(experiment.name) > LONGEST:
        fix = f"give letters, digits, '_', '-' and inner '.', at most {LONGEST}: it names files and items"
        raise _refuse(experiment, "name", experiment.name, fix)
    names = [arm.name for arm in experiment.arms]
    if longest := [name for name in names if len(name) > LONGEST]:
        raise _refuse(experiment, "arms.name", longest[0], f"give at most {LONGEST} characters")
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):  # noqa: PLR2004 - one arm compares with none
        raise _refuse(experiment, "arms", names, "name at least two arms, each once")
    if experiment.control not in names:
        raise _refuse(experiment, "control", experiment.control, f"name one of {', '.join(names)}")
    outcomes = [outcome.name for outcome in experiment.outcomes]
    if len(set(outcomes)) < len(outcomes):
        raise _refuse(experiment, "outcomes", outcomes, "name each outcome once")
    for name in outcomes:
        if not re.fullmatch(OUTCOME_NAME, name):
            raise _refuse(experiment, "outcome.name", name, "give letters, digits, '_', '-' and inner spaces")


def _check_shares(experiment: Experiment) -> None:
    for arm in experiment.arms:
        if arm.weight and not LIGHTEST <= arm.weight <= 1 / LIGHTEST:
            fix = f"give a weight of 0, or from {LIGHTEST:g} to {1 / LIGHTEST:g}"
            raise _refuse(experiment, f"arms.{arm.name}.weight", arm.weight, fix)
    if not math.fsum(arm.weight for arm in experiment.arms) > 0:
        raise _refuse(
            experiment, "arms.weight", [arm.weight for arm in experiment.arms], "give weights with a sum above 0"
        )
    low, high = experiment.span
    if not 0 <= low < high <= 1:
        raise _refuse(experiment, "span", experiment.span, "give a part of (0, 1), the lower end first")
    if not 0 <= experiment.holdout < 1:
        raise _refuse(experiment, "holdout", experiment.holdout, "give a share of at least 0 and below 1")


def _check_bandit(experiment: Experiment) -> None:
    is_plain = callable(getattr(experiment.policy, "weights", None))
    if experiment.policy is not None and not (is_plain or experiment.is_contextual):
        raise _refuse(experiment, "policy", experiment.policy, "give a policy of domain.experiment.policies")
    _check_features(experiment)
    names = [arm.name for arm in experiment.arms if arm.name != experiment.control]
    if not set(experiment.frozen) <= set(names):
        fix = f"name some of {', '.join(names)}; the control is what units of a frozen arm get"
        raise _refuse(experiment, "frozen", experiment.frozen, fix)
    free = len(experiment.arms) - len(set(experiment.frozen))
    if not 0 <= experiment.floor * free <= 1:
        raise _refuse(experiment, "floor", experiment.floor, f"give a share from 0 to {1 / free:.4g}")
    life = experiment.half_life_hours
    if life is not None and not (math.isfinite(life) and life > 0):
        raise _refuse(experiment, "half_life_hours", life, "give a number of hours above 0, or none")


def _check_models(experiment: Experiment) -> None:
    names = [arm.name for arm in experiment.arms]
    if experiment.promoted and experiment.promoted not in names:
        raise _refuse(experiment, "promoted", experiment.promoted, f"name one of {', '.join(names)}, or none")
    if not experiment.has_models:
        return
    models = [arm.model for arm in experiment.arms]
    if None in models or len(set(models)) < len(models) or min(model or 0 for model in models) < 1:
        raise _refuse(experiment, "arms.model", models, "give every arm the version of another model package, from 1")
    if len(models) > MOST_VARIANTS:
        raise _refuse(experiment, "arms", names, f"an endpoint has at most {MOST_VARIANTS} variants")
    for name in names:
        if not re.fullmatch(VARIANT_NAME, name) or (name == MAIN_VARIANT and name != experiment.control):
            fix = f"a variant is named by it: letters, digits and inner hyphens, at most 63, and not {MAIN_VARIANT!r}"
            raise _refuse(experiment, "arms.name", name, fix)


def _check_features(experiment: Experiment) -> None:
    if experiment.is_contextual is not bool(experiment.features):
        fix = "a contextual policy takes features of the context, and no other has a use for any"
        raise _refuse(experiment, "features", experiment.features, fix)
    if found := fault(experiment.features):
        raise _refuse(experiment, *found)
    arms, numbers = len(experiment.arms), size(experiment.features)
    if largest(arms, numbers) > LARGEST_ITEM:
        fix = f"{arms} arms of {numbers} numbers do not fit an item of the table: name fewer features, or fewer arms"
        raise _refuse(experiment, "features", numbers, fix)


def _check_stopping(experiment: Experiment) -> None:
    stopping = experiment.stopping
    for place, value in (("alpha", stopping.alpha), ("power", stopping.power)):
        if not SUREST <= value <= 1 - SUREST:
            fix = f"give a probability between 0 and 1, {SUREST:g} off both at least"
            raise _refuse(experiment, f"stopping.{place}", value, fix)
    for place, count in (("days", stopping.days), ("looks", stopping.looks)):
        if not 1 <= count <= LONGEST_DAYS:
            raise _refuse(experiment, f"stopping.{place}", count, f"give 1 to {LONGEST_DAYS}")
    if not (math.isfinite(experiment.minimum_effect) and experiment.minimum_effect > 0):
        raise _refuse(experiment, "minimum_effect", experiment.minimum_effect, "give a relative effect above 0")
    if stopping.power <= stopping.alpha:
        fix = f"give more than alpha, {stopping.alpha}: chance alone finds as much"
        raise _refuse(experiment, "stopping.power", stopping.power, fix)
    if stopping.looks > stopping.days:
        raise _refuse(experiment, "stopping.looks", stopping.looks, f"give at most {stopping.days}, a readout a day")


def _check_guardrails(experiment: Experiment) -> None:
    for guardrail in experiment.guardrails:
        place = f"guardrails.{guardrail.outcome.name}.margin"
        if not (math.isfinite(guardrail.margin) and guardrail.margin > 0):
            raise _refuse(experiment, place, guardrail.margin, "give the relative loss that is tolerated, above 0")
        if guardrail.outcome.better is Better.HIGHER and guardrail.margin >= 1:
            raise _refuse(experiment, place, guardrail.margin, "give less than 1: no more than all can be lost")


def _check_population(experiment: Experiment, events: Mapping[str, type[Record]]) -> None:
    """Refuse conditions that nobody can meet, and shares that leave nothing to compare."""
    keys = [condition.key for condition in experiment.eligibility]
    if len(set(keys)) < len(keys):
        raise _refuse(experiment, "eligibility", keys, "name each key once, with all its values")
    for condition in experiment.eligibility:
        if not condition.values:
            raise _refuse(experiment, f"eligibility.{condition.key}", (), "name a value; nobody meets none")
    for outcome in experiment.outcomes:
        columns = [column.name for column in events[outcome.event].columns()]
        if experiment.unit not in columns:
            fix = f"name a column of {outcome.event}: {', '.join(columns)}"
            raise _refuse(experiment, "unit", experiment.unit, fix)
    weights = {arm.name: arm.weight for arm in experiment.arms}
    if experiment.policy is None and not weights[experiment.control] > 0:
        place = f"arms.{experiment.control}.weight"
        raise _refuse(experiment, place, weights[experiment.control], "give the control a share to compare with")


def _check_outcome(experiment: Experiment, outcome: Outcome, events: Mapping[str, type[Record]]) -> None:
    place = f"outcome {outcome.name}"
    _check_field(experiment, f"{place}.event", outcome.event, outcome.field, events)
    needs_field = outcome.kind in (Kind.MEAN, Kind.QUANTILE)
    if needs_field and outcome.field is None:
        raise _refuse(experiment, f"{place}.field", None, f"name the field whose {outcome.kind.value} is meant")
    if (outcome.kind is Kind.RATIO) != (outcome.denominator_event is not None):
        raise _refuse(experiment, f"{place}.denominator_event", outcome.denominator_event, "a ratio alone needs one")
    if outcome.denominator_event is not None:
        where = f"{place}.denominator_event"
        _check_field(experiment, where, outcome.denominator_event, outcome.denominator_field, events)
    if outcome.kind is Kind.QUANTILE and not (outcome.quantile and 0 < outcome.quantile < 1):
        raise _refuse(experiment, f"{place}.quantile", outcome.quantile, "give one between 0 and 1")
    _check_unused(experiment, place, outcome)
    if outcome.cap is not None and not (math.isfinite(outcome.cap) and outcome.cap > 0):
        raise _refuse(experiment, f"{place}.cap", outcome.cap, "give a value above 0, or none")
    if not 0 <= outcome.lookback_days <= LONGEST_DAYS:
        raise _refuse(experiment, f"{place}.lookback_days", outcome.lookback_days, f"give 0 to {LONGEST_DAYS}")


def _check_unused(experiment: Experiment, place: str, outcome: Outcome) -> None:
    """Refuse what the outcome's kind has no use for: it would be read as another than was meant."""
    kind = outcome.kind
    for name, value, is_used, fix in (
        ("quantile", outcome.quantile, kind is Kind.QUANTILE, "a quantile alone has one"),
        ("denominator_field", outcome.denominator_field, kind is Kind.RATIO, "a ratio alone has one"),
        ("field", outcome.field, kind is not Kind.COUNT, "a count is of events: a field's sum is a mean over units"),
        ("lookback_days", outcome.lookback_days, kind is not Kind.QUANTILE, "a quantile takes no covariate"),
    ):
        if value and not is_used:
            raise _refuse(experiment, f"{place}.{name}", value, fix)


def _check_field(
    experiment: Experiment, place: str, event: str, name: str | None, events: Mapping[str, type[Record]]
) -> None:
    if event not in events:
        raise _refuse(experiment, place, event, f"name one of {', '.join(sorted(events))}")
    if name is None:
        return
    columns: Sequence[Column] = events[event].columns()
    numbers = [column.name for column in columns if column.kind in NUMBERS]
    if name not in numbers:
        can = f"name one of {', '.join(numbers)}" if numbers else "this event has no field that is a number"
        raise _refuse(experiment, f"{place}.{event} field", name, can)


def _check_together(experiments: Sequence[Experiment]) -> None:
    for first, second in combinations(experiments, 2):
        if first.has_models and second.has_models:
            fix = f"{first.name!r} has the endpoint already: end it, or promote one of its arms and take it out"
            raise _refuse(second, "arms.model", [arm.model for arm in second.arms], fix)
        if first.name == second.name:
            raise _refuse(second, "name", second.name, "name each experiment once")
        if first.layer == second.layer and max(first.span[0], second.span[0]) < min(first.span[1], second.span[1]):
            fix = f"layer {first.layer!r} has {first.name!r} at {first.span}: give a span apart, or another layer"
            raise _refuse(second, "span", second.span, fix)
