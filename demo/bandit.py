"""Let the deployed bandit decide for shoppers whose tastes are known, and tell it what came of it, round by round."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from clients.decide import decide, reward
from demo.laptop import DemoFailed, Laptop
from demo.sending import STREAM
from domain.experiment.assignment import place
from domain.experiment.decision import Decision, effective
from domain.experiments import RANKING

WORTH = {"popular": 0.15, "recent": 0.30, "personal": 0.55}
"""How often each ranking truly brings something into the cart."""

ROUNDS, UNITS, SEED = 4, 150, 7
FRESH_SECONDS = 10.0  # as long as a warm `decide` keeps the shares that it has read
PATIENCE = 120.0
LEARN, TABLE = "rivermill-learn", "rivermill-bandits"
AFTER = "Curate"  # what the day takes in is settled by then: these rounds are the next day's


@dataclass(slots=True)
class Bandit:
    """Plays in the background once the day has taken in what was sent, while its other steps run."""

    laptop: Laptop
    client: Any
    url: str
    started: Future[dict[str, Any]] | None = field(default=None, init=False)

    def on_ended(self, state: str) -> None:
        """Start to play when the state has ended after which the day takes nothing in."""
        if state == AFTER and self.started is None:
            self.started = ThreadPoolExecutor(1).submit(play, self.laptop, self.client, self.url)

    def played(self) -> dict[str, Any] | None:
        """Wait for the last round and return all of them; None if the state never ended."""
        return self.started.result() if self.started else None


def play(laptop: Laptop, client: Any, url: str, rounds: int = ROUNDS, units: int = UNITS) -> dict[str, Any]:
    """Play rounds of so many units: decide over HTTP, tell all rewards, let the learner count them and publish."""
    told: list[dict[str, Any]] = []
    sent: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    found = standing(laptop)
    for number in range(rounds):
        shares = effective(RANKING, found["shares"])
        names = [f"visitor-{number}-{unit}" for unit in range(units)]
        decisions = [decision for decision in _decided(names, url) if decision.decision_id]
        values = {decision.unit: worth(decision) for decision in decisions}
        _tell(client, [reward(decision, values[decision.unit]) for decision in decisions])
        sent.update(decision.arm for decision in decisions)
        hits.update(decision.arm for decision in decisions if values[decision.unit])
        off = max((abs(decision.propensity - shares[decision.arm]) for decision in decisions), default=0.0)
        told.append({"shares": shares, "chosen": Counter(each.arm for each in decisions), "off": off})
        found = learnt(laptop, sum(sent.values()))
        if number + 1 < rounds:
            time.sleep(FRESH_SECONDS)
    arms = [arm.name for arm in RANKING.arms]
    return {
        "rounds": told,
        "sent": {arm: [sent[arm], hits[arm]] for arm in arms},
        "counted": {arm: list(found["counts"].get(arm, (0, 0.0))) for arm in arms},
        "shares": found["shares"],
        "worth": WORTH,
    }


def worth(decision: Decision) -> float:
    """Say what came of a decision: one or nought, by the arm's worth, the same whenever it is asked."""
    return float(place(f"{SEED}/worth", decision.unit) < WORTH[decision.arm])


def standing(laptop: Laptop) -> dict[str, Any]:
    """Read what the bandit has counted by arm, rewards and their sum, and the shares that it published last."""
    counts: dict[str, tuple[int, float]] = {}
    shares: dict[str, float] | None = None
    for item in _items(laptop):
        if "shares" in item:
            shares = {arm: float(share["N"]) for arm, share in item["shares"]["M"].items()}
        for arm in (name.removeprefix("pulls/") for name in item if name.startswith("pulls/")):
            pulls, total = counts.get(arm, (0, 0.0))
            counts[arm] = (pulls + int(item[f"pulls/{arm}"]["N"]), total + int(item[f"total/{arm}"]["N"]) / 10**9)
    return {"counts": counts, "shares": shares}


def learnt(laptop: Laptop, rewards: int) -> dict[str, Any]:
    """Let the learner run until it has counted so many rewards; after a while return what it has."""
    client, end = laptop.client("lambda"), time.monotonic() + PATIENCE
    while True:
        with suppress(client.exceptions.TooManyRequestsException):  # the schedule's own is at work
            client.invoke(FunctionName=LEARN, Payload=b"{}")
        found = standing(laptop)
        if sum(pulls for pulls, _ in found["counts"].values()) >= rewards or time.monotonic() > end:
            return found
        time.sleep(1)


def _decided(units: Sequence[str], url: str) -> list[Decision]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda unit: decide(RANKING.name, unit, url=url), units))


def _tell(client: Any, events: Sequence[dict[str, Any]]) -> None:
    """Put rewards on the stream, and those that it refuses again, for a while."""
    end = time.monotonic() + PATIENCE
    left = [{"Data": json.dumps(event).encode(), "PartitionKey": event["user_id"]} for event in events]
    while left:
        answer = client.put_records(StreamName=STREAM, Records=left)
        left = [record for record, told in zip(left, answer["Records"], strict=True) if "ErrorCode" in told]
        if left and time.monotonic() > end:
            raise DemoFailed(f"{STREAM} refused {len(left)} rewards for {PATIENCE:.0f} s")
        time.sleep(0.2 if left else 0.0)


def _items(laptop: Laptop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = laptop.client("dynamodb").query(
        TableName=TABLE,
        ConsistentRead=True,
        KeyConditionExpression="experiment = :experiment",
        ExpressionAttributeValues={":experiment": {"S": RANKING.name}},
    )["Items"]
    return found
