"""What is true of each session of the world, and how well anyone could tell the outcomes apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clients.world.nature import COUNTRIES
from clients.world.plan import Plan
from clients.world.purchase import Floats, probability
from clients.world.visits import Bools
from domain.events import DEVICES
from domain.tables import PREFIX_EVENTS

MOMENT = pa.timestamp("ms", tz="UTC")


class OneOutcomeOnly(ValueError):
    """Sessions that all ended alike have no AUC."""


def session_table(plan: Plan) -> pa.Table:
    """Tell the truth about people's sessions, one row each.

    `probability` is that of a purchase, known at `moment`, the time of the fifth event, to one who sees all and knows
    the shopper's hidden `taste` and what experiments do; `visible` is what it would be at the average taste, without
    any experiment.  The columns of `Seen` follow.
    They, the moment and the probabilities are null where a session never came to its fifth event.
    """
    visits, sessions, seen, shoppers = plan.visits, plan.sessions, plan.seen, plan.shoppers
    undecided = ~visits.decided
    at = sessions.start + visits.offsets[:, PREFIX_EVENTS - 1]
    features = asdict(seen) | {
        "device": np.asarray(DEVICES)[seen.device],
        "country": np.asarray([country.code for country in COUNTRIES])[seen.country],
    }
    return pa.table(
        {
            "user_id": pa.array(np.asarray(shoppers.ids, dtype=object)[visits.shopper], pa.string()),
            "started_at": pa.array(sessions.start, MOMENT),
            "is_bot": pa.array(np.zeros(at.size, dtype=bool)),
            "events": pa.array(sessions.events),
            "moment": pa.array(at, MOMENT, mask=undecided),
            "purchased": pa.array(sessions.purchased, mask=undecided),
            "probability": pa.array(sessions.probability, mask=undecided),
            "visible": pa.array(probability(sessions.logit), mask=undecided),
            "taste": pa.array(shoppers.taste[visits.shopper]),
            **{name: _with_nulls(values, undecided) for name, values in features.items()},
        }
    )


def bot_table(plan: Plan) -> pa.Table:
    """Tell the truth about the bots' runs, in the columns of `session_table` that they have; they never buy."""
    runs, users = plan.runs, plan.users[len(plan.shoppers.ids) :]
    return pa.table(
        {
            "user_id": pa.array([users[bot] for bot in runs.bot.tolist()], pa.string()),
            "started_at": pa.array(runs.start, MOMENT),
            "is_bot": pa.array(np.ones(runs.bot.size, dtype=bool)),
            "events": pa.array(runs.events),
        }
    )


def auc(scores: Floats, outcomes: Bools) -> float:
    """Compute the area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    positives = int(outcomes.sum())
    negatives = outcomes.size - positives
    if not positives or not negatives:
        raise OneOutcomeOnly(f"{positives} purchases among {outcomes.size} sessions: take sessions with both outcomes")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle_ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((middle_ranks[place][outcomes].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def best_possible_auc(truth: pa.Table, sessions: Iterable[tuple[str, datetime]] | None = None) -> float:
    """Compute the AUC of the true probability over decided sessions of people; no honest score can expect a better one.

    `sessions` picks some by user id and start; without it, all count.
    """
    known = truth.filter(pc.is_valid(truth["probability"]))
    if sessions is not None:
        known = _pick(known, sessions)
    return auc(known["probability"].to_numpy(), known["purchased"].to_numpy(zero_copy_only=False))


def _pick(truth: pa.Table, sessions: Iterable[tuple[str, datetime]]) -> pa.Table:
    wanted = set(sessions)
    keys = zip(truth["user_id"].to_pylist(), truth["started_at"].to_pylist(), strict=True)
    return truth.filter(pa.array([key in wanted for key in keys], pa.bool_()))


def _with_nulls(values: Any, undecided: Bools) -> pa.Array:
    missing = undecided | np.isnan(values) if values.dtype.kind == "f" else undecided
    return pa.array(values, mask=missing)
