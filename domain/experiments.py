"""The experiments that run.  To add one, declare it here and list it in EXPERIMENTS; the stack checks it at synth."""

from __future__ import annotations

from domain.experiment.declaration import Arm, Experiment, Guardrail, Kind, Outcome
from domain.experiment.policies import BetaThompson

BUYERS = Outcome(name="buyers", event="purchase", kind=Kind.PROPORTION, lookback_days=7)
REVENUE = Outcome(name="revenue", event="purchase", kind=Kind.MEAN, field="amount", cap=500.0, lookback_days=7)
CARTS = Outcome(name="carts", event="add_to_cart", kind=Kind.COUNT, lookback_days=7)

CHECKOUT = Experiment(
    name="one_page_checkout",
    arms=(Arm(name="control"), Arm(name="one_page")),
    primary=BUYERS,
    secondary=(REVENUE,),
    guardrails=(Guardrail(outcome=CARTS, margin=0.05),),
    layer="checkout",
)
COLOUR = Experiment(
    name="button_colour",
    arms=(Arm(name="control"), Arm(name="green")),
    primary=BUYERS,
    layer="colour",
)

RANKING = Experiment(
    name="ranking",
    arms=(Arm(name="popular"), Arm(name="recent"), Arm(name="personal")),
    control="popular",
    primary=CARTS,
    policy=BetaThompson(),
    floor=0.02,
    layer="ranking",
)

EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in (CHECKOUT, COLOUR, RANKING)}

READOUTS = "readouts/"
"""Where in the lake's bucket the pages are, in a folder for each experiment."""


class NotDeclared(ValueError):
    """An experiment that nobody declared; the message names those that are."""


def declared(name: str) -> Experiment:
    """Find an experiment by its name; raise NotDeclared for one that is not there."""
    if name not in EXPERIMENTS:
        raise NotDeclared(
            f"experiment is {name!r}, which is not declared: name one of {', '.join(sorted(EXPERIMENTS))}"
        )
    return EXPERIMENTS[name]
