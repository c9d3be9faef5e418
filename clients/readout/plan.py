"""`python -m clients.readout.plan --experiment NAME`: say from the lake's past how long an experiment would run."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, timezone

from botocore.exceptions import BotoCoreError, ClientError

from clients.athena import QueryRefused, ask_by_column
from domain.events import EVENTS
from domain.experiment.declaration import Experiment, InvalidExperiment, check
from domain.experiment.history import NoHistory, Window, history, last_day, question, unknown_conditions
from domain.experiment.planning import Advice, CannotBePlanned, advise, share_of_all
from domain.experiments import EXPERIMENTS, NotDeclared, declared

REFUSALS = (NotDeclared, QueryRefused, NoHistory, CannotBePlanned, InvalidExperiment)
HEAD = ("design", "units", "days", "likely", "power", "kept")
WIDTHS = (18, 12, 8, 8, 8, 14)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan it; the exit code is 1 for a plan that cannot work, 2 where nothing can be said."""
    parser = ArgumentParser(prog="clients.readout.plan", description=__doc__, allow_abbrev=False)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--until", help="the first day that is not counted, YYYY-MM-DD; by default after the last")
    asked = parser.parse_args(arguments)
    try:
        experiment = declared(asked.experiment)
        check(EXPERIMENTS.values(), EVENTS)
        advice = planned(experiment, window(experiment, asked.until))
    except (*REFUSALS, BotoCoreError, ClientError) as refusal:
        print(f"rivermill: {refusal}", file=sys.stderr)
        return 2
    print("\n".join(lines(advice)))
    return int(bool(advice.reasons))


def window(experiment: Experiment, until: str | None) -> Window:
    """Choose the last days that are over, as many as the plan has if the lake has them."""
    [found] = ask_by_column(last_day())
    if not found["last"]:
        raise NoHistory("the lake has no page view: nothing is known from which to plan")
    first, last = (date.fromisoformat(found[end][:10]) for end in ("first", "last"))
    try:
        end = date.fromisoformat(until) if until else last + timedelta(days=1)
    except ValueError:
        raise NoHistory(f"until is {until!r}; give a day as YYYY-MM-DD") from None
    days = min(experiment.stopping.days, (end - first).days)
    if days < 1:
        raise NoHistory(f"the lake begins on {first}, which leaves no day before {end} from which to plan")
    return Window(datetime.combine(end - timedelta(days=days), time(), timezone.utc), days)


def planned(experiment: Experiment, past: Window) -> Advice:
    """Ask for the past of every outcome that the plan hangs on."""
    outcomes = (experiment.primary, *(guardrail.outcome for guardrail in experiment.guardrails))
    known = {
        outcome.name: history(outcome, ask_by_column(question(experiment, outcome, past)), past.days)
        for outcome in outcomes
    }
    return advise(experiment, known)


def lines(advice: Advice) -> Iterator[str]:
    """Tell what the past was like, what each design would take, and whether the plan can work."""
    experiment, past, stopping = advice.experiment, advice.history, advice.experiment.stopping
    yield (
        f"{experiment.name}: {experiment.primary.name} was {past.sample.mean:.5g} over {past.sample.count:,.0f} units "
        f"that came in {len(past.newcomers)} days, variance {past.plain.variance:.5g}"
    )
    if experiment.primary.lookback_days:
        yield (
            f"  its covariate of {experiment.primary.lookback_days} days explains "
            f"{past.correlation**2:.1%} of the variance (correlation {past.correlation:.3f})"
        )
    yield (
        f"  {share_of_all(experiment):.1%} of them are the experiment's: {advice.units:,.0f} units in "
        f"{stopping.days} days, for an effect of {experiment.minimum_effect:.1%} at power {stopping.power:.0%}"
    )
    if keys := unknown_conditions(experiment):
        yield f"  conditions on {', '.join(keys)} are not in the lake's past: fewer units will be eligible than here"
    yield ""
    yield "  days: until the units have come; likely: if the effect is there; power: in the plan's days;"
    yield "  kept: of the power that one look at the end has"
    yield _line(HEAD)
    yield from (_line(cells) for cells in _options(advice))
    yield ""
    found = f"{advice.least_effect:.1%} with power {stopping.power:.0%}"
    yield f"  in {stopping.days} days {stopping.design.value} finds {found}"
    yield from (f"  guardrail {name}: {_days(days)} days" for name, days in advice.guardrails.items())
    if experiment.policy is not None:
        yield "  a bandit needs no plan to start; sized as if its arms shared units evenly, which they soon do not"
    yield from (f"  cannot work: {reason}" for reason in advice.reasons)
    if not advice.reasons:
        yield "  the plan can work"


def _options(advice: Advice) -> Iterator[tuple[str, ...]]:
    stopping = advice.experiment.stopping
    for each in advice.options:
        mark = "*" if each is advice.declared else ""
        yield (
            f"{each.design.value}{mark}",
            f"{each.units:,.0f}",
            _days(each.days),
            _days(each.likely_days),
            f"{each.power:.1%}",
            f"{each.kept:.1%} of {stopping.power:.0%}",
        )


def _days(days: float) -> str:
    """Write days; with nobody new for a week there are none after which the units have come."""
    return f"{days:.1f}" if math.isfinite(days) else "no number of"


def _line(texts: tuple[str, ...]) -> str:
    return "  " + "  ".join(text.ljust(width) for text, width in zip(texts, WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
