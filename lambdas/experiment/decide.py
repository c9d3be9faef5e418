"""Answer which arm of an experiment a unit gets, and log the exposure."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.experiment import decision as decisions
from domain.experiment.asked import BYTES_MAX, Asked, read
from domain.experiment.decision import Decision
from domain.experiment.features import fingerprint
from domain.experiments import EXPERIMENTS
from domain.ingest.bridge import NotTaken, connect
from domain.metrics import DECISIONS, DECISIONS_FALLBACK, DECISIONS_REFUSED, EXPOSURES_LOST
from domain.privacy.keyring import UNITS, KeyUnavailable
from domain.privacy.units import called
from domain.serve.http import answer, posted
from domain.serve.refusal import InvalidRequest
from lambdas.datakeys import DataKeys, HeldKeys
from lambdas.experiment.bandits import Bandits, Published, Unreadable
from lambdas.experiment.decisions import Decisions
from lambdas.experiment.settings import DecideSettings

FRESH_SECONDS = 10.0
CONNECT_SECONDS, READ_SECONDS = 0.5, 1.0
REMEMBERED = 50_000
"""Units that a warm process remembers; about 20 MB."""

settings = cache(DecideSettings.read)


@cache
def client(service: str) -> Any:
    """Connect to a service; a person waits, so it is given up soon."""
    retries = {"total_max_attempts": 2, "mode": "standard"}
    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
    return boto3.client(service, config=config)


@cache
def stream() -> Any:
    """Connect to the stream for exposures, or to the topic in its place."""
    return connect(client, settings().cluster, settings().bridge)


@cache
def keys() -> HeldKeys:
    """Hold the key of units, once for a warm process; whoever decides first makes it."""
    data = DataKeys(client("dynamodb"), client("kms"), settings().keys, settings().privacy_key)
    return HeldKeys(data, (UNITS,), makes=True)


@dataclass(slots=True)
class Shares:
    """What a bandit published as it was read last, and when, by the process's clock; None until it publishes.

    `learnt` is a contextual one's, a value of `domain.experiment.contextual`.
    """

    arm_to_share: dict[str, float] | None
    read_at: float
    learnt: Any = None

    def at(self, asked: Asked) -> dict[str, float] | None:
        """Return the shares for a request, None for the declared ones."""
        if not asked.experiment.is_contextual:
            return self.arm_to_share
        if self.learnt is None or self.learnt.fingerprint != fingerprint(asked.experiment.features):
            return None  # nothing was learned of these features yet
        from domain.experiment import contextual  # noqa: PLC0415 - numpy, for who declares a policy that needs it

        return contextual.shares(asked.experiment, self.learnt, asked.features)


@dataclass(slots=True)
class Memory:
    """What a warm process remembers: each bandit's shares, and units whose exposure is logged."""

    shares: dict[str, Shares] = field(default_factory=dict)
    told: OrderedDict[tuple[str, str], Decision] = field(default_factory=OrderedDict)

    def remember(self, decision: Decision) -> None:
        """Remember a decision, and forget the one not asked for longest."""
        self.told[decision.experiment, decision.unit] = decision
        if len(self.told) > REMEMBERED:
            self.told.popitem(last=False)

    def recall(self, experiment: str, unit: str) -> Decision | None:
        """Say what was decided, if it is remembered."""
        found = self.told.get((experiment, unit))
        if found:
            self.told.move_to_end((experiment, unit))
        return found


memory = cache(Memory)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request of a function URL (payload format 2.0)."""
    try:
        asked = read(posted(event, BYTES_MAX), EXPERIMENTS)
    except InvalidRequest as refusal:
        DECISIONS_REFUSED.emit(1)
        return answer(refusal.status, refusal.body())
    decision = decide(asked)
    DECISIONS.emit(1, Experiment=asked.experiment.name)
    if decision.reason in decisions.FALLBACKS:
        DECISIONS_FALLBACK.emit(1, Reason=decision.reason)
    return answer(200, decisions.said_of(decision))


def decide(asked: Asked) -> Decision:
    """Decide for a unit, or repeat what was decided, and log the exposure once while the process is warm."""
    experiment = asked.experiment
    if reason := decisions.excluded(experiment, asked.unit, asked.context):
        return decisions.control(experiment, asked.unit, reason)
    if known := memory().recall(experiment.name, asked.unit):
        return known
    now = datetime.now(timezone.utc)
    try:
        name = _called(asked.unit)
        decision, at = _keep(asked, name, now) if experiment.is_kept else (_fresh(asked), now)
    except (BotoCoreError, ClientError, KeyUnavailable, Unreadable) as fault:
        print(json.dumps({"fallback": "control", "experiment": experiment.name, "fault": _code(fault)}))
        return decisions.control(experiment, asked.unit, decisions.UNAVAILABLE)
    decision = decisions.known_as(decision, name)
    if decision.decision_id and _log(decision, at) and decision.reason not in decisions.FALLBACKS:
        memory().remember(decision)
    return decision


def _called(unit: str) -> str:
    """Say what a unit is called where decisions rest: with privacy on, nothing that names it."""
    return called(unit, keys().ring()) if settings().keys else unit


def _fresh(asked: Asked) -> Decision:
    return decisions.decide(asked.experiment, asked.unit, asked.context)


def _keep(asked: Asked, name: str, now: datetime) -> tuple[Decision, datetime]:
    """Decide by the published shares unless the unit was decided before; raise if that cannot be known."""
    published, is_stale = _shares(asked)
    wanted = decisions.decide(asked.experiment, asked.unit, asked.context, published)
    by = (fingerprint(asked.experiment.features), asked.features) if asked.features else ()
    table = Decisions(client("dynamodb"), settings().decisions)
    if standing := table.keep(replace(wanted, unit=name), now, *by):
        return decisions.kept(asked.experiment, asked.unit, standing.arm, standing.propensity), standing.at
    return decisions.because(wanted, decisions.STALE) if is_stale else wanted, now


def _shares(asked: Asked) -> tuple[dict[str, float] | None, bool]:
    """Return a bandit's shares, None before it published any, and whether they are older than they should be.

    Raises what the table raised if they were never read.
    """
    name = asked.experiment.name
    if asked.experiment.policy is None:
        return None, False
    known = memory().shares.get(name)
    if known and time.monotonic() - known.read_at < FRESH_SECONDS:
        return known.at(asked), False
    try:
        found = Bandits(client("dynamodb"), settings().bandits).published(name)
        learnt = _learnt(name, found)
    except (BotoCoreError, ClientError, Unreadable) as fault:
        if known is None:
            raise
        print(json.dumps({"fallback": "last known weights", "experiment": name, "fault": _code(fault)}))
        return known.at(asked), True
    shares = Shares(dict(found.arm_to_share) if found else None, time.monotonic(), learnt)
    memory().shares[name] = shares
    return shares.at(asked), False


def _learnt(name: str, found: Published | None) -> Any:
    if found is None or found.regressed is None:
        return None
    from domain.experiment import contextual  # noqa: PLC0415 - as above

    try:
        return contextual.of_bytes(found.regressed.arms, found.regressed.fingerprint, found.regressed.said)
    except (ValueError, ZeroDivisionError) as fault:
        raise Unreadable(f"what {name!r} learned: {fault}") from fault


def _log(decision: Decision, at: datetime) -> bool:
    """Put the exposure on the stream; tell whether it is there."""
    data = json.dumps(decisions.exposure(decision, at)).encode()
    try:
        stream().put_record(StreamName=settings().stream, Data=data, PartitionKey=decision.unit)
    except (BotoCoreError, ClientError, NotTaken) as fault:
        print(json.dumps({"exposure_lost": decision.decision_id, "fault": _code(fault)}))
        EXPOSURES_LOST.emit(1)
        return False
    return True


def _code(fault: BotoCoreError | ClientError | NotTaken | KeyUnavailable | Unreadable) -> str:
    if isinstance(fault, Unreadable):
        return f"Unreadable: {fault}"
    return str(fault.response["Error"]["Code"]) if isinstance(fault, ClientError) else type(fault).__name__
