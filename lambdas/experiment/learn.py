"""Count new rewards, each once, and publish the shares that follow from them; one invocation runs at a time.

Rewards are read from what the consumer landed: there every record of the stream is once, has kept its contract, and is
out of whatever frame it came in.  What is left to do is to know a reward by its `event_id` when its producer sends it
again, and to survive: a learner that dies is repeated from its shard's position, and finds its marks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from typing import Any, Protocol

import boto3
from botocore.config import Config

from domain.experiment import contextual, learning
from domain.experiment.declaration import Experiment
from domain.experiment.evidence import Sums
from domain.experiment.features import fingerprint
from domain.experiment.learning import Count, Feedback, Kept
from domain.experiments import EXPERIMENTS
from domain.ingest.receipts import Receipt
from domain.metrics import FEEDBACK_REFUSED, REWARDS_COUNTED
from lambdas.datakeys import DataKeys
from lambdas.experiment.bandits import Bandits, Regressed
from lambdas.experiment.decisions import WRITERS, Decisions, Key
from lambdas.experiment.receipts import Called, Receipts, by_name
from lambdas.experiment.settings import LearnSettings

MARGIN_MS = 30_000
"""A receipt is begun only with more time than this left."""

LOGGED = 20
"""Refusals of a receipt that are told one by one; a reward that a bandit refuses is written beside its unit too."""

settings = cache(LearnSettings.read)


@cache
def client(service: str) -> Any:
    """Connect to a service."""
    config = Config(max_pool_connections=WRITERS, retries={"total_max_attempts": 6, "mode": "standard"})
    return boto3.client(service, config=config)


class Context(Protocol):
    """What Lambda tells a function about its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Say how much time is left."""


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Count what came in since the last invocation, then let every bandit think again."""
    receipts = Receipts(client("s3"), settings().bucket, called())
    learner = Learner(
        Decisions(client("dynamodb"), settings().decisions),
        Bandits(client("dynamodb"), settings().bandits),
        EXPERIMENTS,
    )
    for shard in receipts.shards():
        follow(receipts, learner, shard, context)
    return {"counted": learner.rewards, "refused": dict(learner.refused), "published": learner.publish(_now())}


def called() -> Called:
    """Find what says how decisions call the users of rows, with the keys of now."""
    if not settings().keys:
        return by_name
    from lambdas.experiment.units import Units  # noqa: PLC0415  # with its layer, only where privacy is on

    data = DataKeys(client("dynamodb"), client("kms"), settings().keys, settings().privacy_key)
    return Units(data).called


def follow(receipts: Receipts, learner: Learner, shard: str, context: Context) -> None:
    """Count a shard's new receipts, one after the other."""
    position = learner.bandits.position(shard)
    while new := receipts.after(shard, position, _now()):
        for receipt in new:
            if context.get_remaining_time_in_millis() < MARGIN_MS:
                return
            learner.learn(receipt, *receipts.feedback(receipt))
            position = receipt.last
            learner.bandits.advance(shard, position)


class Learner:
    """Counts rewards against the decisions that they belong to."""

    def __init__(self, decisions: Decisions, bandits: Bandits, experiments: Mapping[str, Experiment]) -> None:
        self.decisions, self.bandits, self.experiments = decisions, bandits, experiments
        self.rewards = 0
        self.refused: Counter[str] = Counter()

    def learn(self, receipt: Receipt, exposures: Sequence[Feedback], rewards: Sequence[Feedback]) -> None:
        """Count a receipt's rewards; doing so again, whole or in part, changes nothing."""
        reasons = [(each, learning.UNKNOWN_EXPERIMENT) for each in (*exposures, *rewards) if self._is_unknown(each)]
        exposures, rewards = self._concerning(exposures), _once(self._concerning(rewards))
        key_to_kept = self.decisions.of([(each.experiment, each.unit) for each in (*exposures, *rewards)])
        reasons += self._count(receipt, rewards, key_to_kept)
        for exposure in exposures:
            if reason := self._judge(exposure, key_to_kept):
                reasons.append((exposure, reason))
        self._tell(reasons)

    def publish(self, now: datetime) -> dict[str, int]:
        """Let each bandit weigh what it has earned; return the versions of the shares that were published."""
        versions = {}
        for experiment in self.experiments.values():
            if experiment.policy is not None:
                before = self.bandits.published(experiment.name, consistent=True)
                version = before.version if before else 0
                if self.bandits.publish(experiment.name, *self._thought(experiment, now, version)):
                    versions[experiment.name] = version + 1
        return versions

    def _thought(
        self, experiment: Experiment, now: datetime, version: int
    ) -> tuple[dict[str, float], int, datetime, Regressed | None]:
        """Weigh what a bandit has earned: its shares or, where these hang on the context, what it has learned."""
        oldest = learning.oldest_bucket(experiment, now)
        if experiment.is_contextual:
            evidence = self.bandits.evidence(experiment.name, oldest, fingerprint(experiment.features))
            learnt = contextual.learnt(experiment, evidence, now)
            return {}, version, now, Regressed(learnt.arms, learnt.fingerprint, learnt.bytes())
        counts = self.bandits.counts(experiment.name, oldest)
        return learning.shares(experiment, learning.tallies(experiment, counts, now)), version, now, None

    def _is_unknown(self, feedback: Feedback) -> bool:
        return feedback.experiment not in self.experiments

    def _concerning(self, feedback: Sequence[Feedback]) -> list[Feedback]:
        """Take what belongs to bandits: of the other experiments nothing is learned here, and the lake has it."""
        names = {name for name, experiment in self.experiments.items() if experiment.policy is not None}
        return [each for each in feedback if each.experiment in names]

    def _count(
        self, receipt: Receipt, rewards: Sequence[Feedback], key_to_kept: Mapping[Key, Kept]
    ) -> list[tuple[Feedback, str]]:
        """Mark rewards, then raise the counters by those that are new; return those that do not count, and why.

        A mark says what was found when it was made, so that a repetition finds the same, whatever happened since.
        """
        name = f"{receipt.stream}/{receipt.shard}"
        judged = [(reward, self._judge(reward, key_to_kept)) for reward in rewards]
        marks = self.decisions.mark_all(judged, f"{name}/{receipt.follows}", _now())
        sums: dict[tuple[str, str], Sums] = {}
        refused = []
        for reward, mark in zip(rewards, marks, strict=True):
            if mark.receipt != f"{name}/{receipt.follows}":
                continue  # it was counted, or refused, with the receipt that brought it first
            if mark.refused:
                refused.append((reward, mark.refused))
            elif reward.value is not None and (reward.experiment, reward.unit) in key_to_kept:
                kept = key_to_kept[reward.experiment, reward.unit]
                bucket = learning.bucket(self.experiments[reward.experiment], kept.at)
                found = sums.setdefault((reward.experiment, bucket), Sums(self._fingerprint(reward.experiment)))
                found.add(reward.arm, reward.value, kept)
        for (experiment, bucket), found in sums.items():
            if self._raise(experiment, bucket, name, found, receipt.last):
                self._tell_counted(experiment, found.counts)
        return refused

    def _fingerprint(self, name: str) -> str:
        """Name the features by which an experiment chooses, if it does by any."""
        experiment = self.experiments[name]
        return fingerprint(experiment.features) if experiment.is_contextual else ""

    def _raise(self, name: str, bucket: str, shard: str, found: Sums, position: int) -> bool:
        if not found.fingerprint:
            return self.bandits.add(name, bucket, shard, found.counts, position)
        return self.bandits.add_evidence(name, bucket, shard, found, position)

    def _judge(self, feedback: Feedback, key_to_kept: Mapping[Key, Kept]) -> str | None:
        return learning.refusal(feedback, key_to_kept.get((feedback.experiment, feedback.unit)), self.experiments)

    def _tell_counted(self, experiment: str, arm_to_count: Mapping[str, Count]) -> None:
        pulls = sum(count.pulls for count in arm_to_count.values())
        self.rewards += pulls
        REWARDS_COUNTED.emit(pulls, Experiment=experiment)

    def _tell(self, refused: Sequence[tuple[Feedback, str]]) -> None:
        for feedback, reason in refused[:LOGGED]:
            said = {"event_id": feedback.event_id, "experiment": feedback.experiment, "arm": feedback.arm}
            print(json.dumps({"refused": reason, **said}))
        reasons = Counter(reason for _, reason in refused)
        for reason, times in reasons.items():
            FEEDBACK_REFUSED.emit(times, Reason=reason)
        self.refused.update(reasons)


def _once(rewards: Sequence[Feedback]) -> list[Feedback]:
    """Take each reward's first occurrence."""
    first: dict[tuple[str, str], Feedback] = {}
    for reward in rewards:
        first.setdefault((reward.unit, reward.event_id), reward)
    return list(first.values())


def _now() -> datetime:
    return datetime.now(timezone.utc)
