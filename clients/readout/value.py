"""`python -m clients.readout.value --experiment NAME`: value the declared policy on the log before it goes live."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from clients.athena import QueryRefused, ask_by_column
from clients.readout.contexts import contexts
from domain.events import EVENTS
from domain.experiment.declaration import Experiment, InvalidExperiment, check
from domain.experiment.ope import InvalidLog, Value
from domain.experiment.valuing import TRUSTED, Decided, Valued, Verdict, question, value
from domain.experiments import EXPERIMENTS, NotDeclared, declared

MOST = 20_000
LEFT_OUT, NOUGHT = "left-out", "nought"
HEAD = ("what would be done", "by", "value", "interval", "effective", "")
WIDTHS = (24, 10, 8, 18, 10, 40)


def main(arguments: Sequence[str] | None = None) -> int:
    """Value it; the exit code is 1 for a policy that is worse than what was done, 2 where nothing can be said."""
    parser = ArgumentParser(prog="clients.readout.value", description=__doc__, allow_abbrev=False)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--decisions", type=int, default=MOST, help=f"the newest so many; {MOST:,} by default")
    parser.add_argument(
        "--unrewarded", choices=(LEFT_OUT, NOUGHT), default=LEFT_OUT, help="what a decision without a reward counts as"
    )
    asked = parser.parse_args(arguments)
    try:
        experiment = declared(asked.experiment)
        check(EXPERIMENTS.values(), EVENTS)
        rows = ask_by_column(question(experiment.name, asked.decisions))
        valued = value(experiment, logged(experiment, rows, asked.unrewarded == NOUGHT))
    except (NotDeclared, QueryRefused, InvalidLog, InvalidExperiment, BotoCoreError, ClientError) as refusal:
        print(f"rivermill: {refusal}", file=sys.stderr)
        return 2
    print("\n".join(lines(experiment, valued)))
    return int(valued.verdict is Verdict.WORSE)


def logged(experiment: Experiment, rows: Sequence[Mapping[str, Any]], is_nought: bool) -> Iterable[Decided]:
    """Read decisions with a reward, or all with nought for those without, and by which numbers they were made."""
    kept = [row for row in rows if row["reward"] is not None or is_nought]
    by = contexts(experiment.name, [row["unit"] for row in kept]) if experiment.is_contextual else {}
    for row in kept:
        yield Decided(
            row["unit"],
            row["arm"],
            float(row["propensity"]),
            _moment(row["at"]),
            float(row["reward"] or 0.0),
            *by.get(row["unit"], ("", ())),
        )


def lines(experiment: Experiment, valued: Valued) -> Iterator[str]:
    """Tell the verdict first, then every value."""
    done, gain = valued.done, valued.gain
    yield f"{experiment.name}: {valued.policy} is {valued.verdict.value}"
    yield (
        f"  valued on {valued.decisions:,} decisions, having learned from as many before them; "
        f"their mean reward was {done.estimate:.4f} ({done.low:.4f} to {done.high:.4f})"
    )
    yield f"  gain by {TRUSTED}: {gain.estimate:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    yield ""
    yield _line(HEAD)
    for name, values in valued.values.items():
        yield from (_line(_cells(name, kind, each)) for kind, each in values.items())


def _cells(name: str, kind: str, each: Value) -> tuple[str, ...]:
    note = "" if each.has_overlap else "not to be trusted: hardly any overlap"
    interval = f"{each.low:.4f} to {each.high:.4f}"
    return name, kind, f"{each.estimate:.4f}", interval, f"{each.effective:,.0f}", note


def _line(texts: tuple[str, ...]) -> str:
    return "  " + "  ".join(text.ljust(width) for text, width in zip(texts, WIDTHS, strict=True)).rstrip()


def _moment(said: str) -> datetime:
    """Read a moment as Athena writes it, `2026-03-01 12:00:00.000000 UTC`."""
    found = datetime.fromisoformat(said.removesuffix(" UTC"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


if __name__ == "__main__":
    sys.exit(main())
