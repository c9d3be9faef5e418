"""Experiments on the deployed platform: units decided over HTTP, rewards sent while things break, shares that learn."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from clients.decide import Decision, decide, reward, rewarded
from demo.faults import struck, switch_on
from demo.lake import output_of
from demo.laptop import Laptop
from domain.experiments import RANKING
from domain.serve.refusal import InvalidRequest
from tests.platform import Platform

pytestmark = pytest.mark.slow

UNITS = 200
BEST = "personal"
WORTH = {"popular": 0.2, "recent": 0.3, BEST: 0.7}
LEARN, DECIDE = "rivermill-learn", "rivermill-decide"
PATIENCE_SECONDS = 300
FAULTS: list[dict[str, Any]] = [
    {"fault": "kill", "function": LEARN, "service": "dynamodb", "operation": "PutItem", "when": "after", "nth": 20},
    {"fault": "kill", "function": LEARN, "service": "dynamodb", "operation": "PutItem", "when": "before", "nth": 150},
    {"fault": "kill", "function": LEARN, "service": "dynamodb", "operation": "UpdateItem", "when": "after", "nth": 1},
    {"fault": "drop", "function": LEARN, "service": "dynamodb", "operation": "UpdateItem", "nth": 3},
    {"fault": "drop", "function": DECIDE, "service": "dynamodb", "operation": "PutItem", "nth": 5},
    {"fault": "drop", "function": DECIDE, "service": "kinesis", "operation": "PutRecord", "nth": 7},
    {"fault": "duplicate", "function": "rivermill-consume", "recut": True, "at_once": True},
]


@dataclass(frozen=True)
class Sent:
    """What was decided and rewarded, what the counters came to, and how often each fault struck.

    `unanswered` is what units got that met a fault, or a machine too slow for them, before they were decided.
    """

    decisions: list[Decision]
    unanswered: list[Decision]
    rewards: dict[str, tuple[str, float]]
    counted: dict[str, tuple[int, int]]
    struck: list[int]


@pytest.fixture(scope="module")
def sent(platform: Platform, again: dict[str, Any]) -> Iterator[Sent]:
    """Decide for units, and tell five times, shuffled, what came of them, while things break."""
    yield play(platform.laptop)
    switch_on(platform.laptop, [])


def play(laptop: Laptop, prefix: str = "x") -> Sent:
    url, chance = output_of(laptop, "DecideUrl"), random.Random(4)
    switch_on(laptop, FAULTS)
    unanswered: list[Decision] = []
    decisions = [decided(f"{prefix}-{number}", url, unanswered) for number in range(UNITS)]
    rewards = {
        str(reward(each, 0.0)["event_id"]): (each.arm, float(chance.random() < WORTH[each.arm])) for each in decisions
    }
    again = decisions * 5
    chance.shuffle(again)
    before = counters(laptop)
    for decision in again:
        rewarded(decision, rewards[str(reward(decision, 0.0)["event_id"])][1])
    counted = learnt(laptop, before, len(rewards))
    return Sent(decisions, unanswered, rewards, counted, strikes(laptop))


def decided(unit: str, url: str, unanswered: list[Decision]) -> Decision:
    """Ask for a unit as a page does that is opened again, until it is decided; note what it got before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := decide(RANKING.name, unit, url=url)).decision_id:
        assert time.monotonic() < end, f"{unit} was not decided: {found}"
        unanswered.append(found)
    return found


def strikes(laptop: Laptop) -> list[int]:
    """Count how often each fault struck, once all did; a batch comes to the consumer when its window ends."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not all(times for _, times in struck(laptop)) and time.monotonic() < end:
        time.sleep(1)
    return [times for _, times in struck(laptop)]


def learnt(laptop: Laptop, before: dict[str, tuple[int, int]], rewards: int) -> dict[str, tuple[int, int]]:
    """Let the learner run, whatever befalls it, until all of it is counted, and twice more."""
    end, further = time.monotonic() + PATIENCE_SECONDS, 2
    while further and time.monotonic() < end:
        learn(laptop)
        after = counters(laptop)
        found = {arm: (n - before.get(arm, (0, 0))[0], t - before.get(arm, (0, 0))[1]) for arm, (n, t) in after.items()}
        further -= sum(n for n, _ in found.values()) >= rewards
    return found


def learn(laptop: Laptop) -> None:
    """Run the learner; one at a time runs, and its schedule starts it too."""
    try:
        laptop.client("lambda").invoke(FunctionName=LEARN, Payload=b"{}")
    except ClientError as error:
        if error.response["Error"]["Code"] != "TooManyRequestsException":
            raise
        time.sleep(1)


def counters(laptop: Laptop) -> dict[str, tuple[int, int]]:
    """Sum the bandit's counters by arm: rewards, and billionths."""
    sums: dict[str, tuple[int, int]] = {}
    for item in items(laptop, "counter/"):
        for arm in (name.removeprefix("pulls/") for name in item if name.startswith("pulls/")):
            pulls, total = sums.get(arm, (0, 0))
            sums[arm] = (pulls + int(item[f"pulls/{arm}"]["N"]), total + int(item[f"total/{arm}"]["N"]))
    return sums


def items(laptop: Laptop, start: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = laptop.client("dynamodb").query(
        TableName="rivermill-bandits",
        KeyConditionExpression="experiment = :experiment AND begins_with(#item, :start)",
        ExpressionAttributeNames={"#item": "item"},
        ExpressionAttributeValues={":experiment": {"S": RANKING.name}, ":start": {"S": start}},
    )["Items"]
    return found


def test_units_are_decided_over_http_by_equal_shares_while_nothing_is_known(sent: Sent) -> None:
    assert [decision.propensity for decision in sent.decisions] == pytest.approx([1 / 3] * UNITS, abs=1e-9)
    assert {decision.reason for decision in sent.decisions} <= {"assigned", "kept", "stale_weights"}
    assert {(decision.arm, decision.reason) for decision in sent.unanswered} <= {(RANKING.control, "unavailable")}


def test_every_fault_struck(sent: Sent) -> None:
    assert all(sent.struck)


def test_the_counters_are_the_truth_although_all_came_five_times_and_the_learner_died(sent: Sent) -> None:
    truth = {
        arm: (
            sum(1 for other, _ in sent.rewards.values() if other == arm),
            round(sum(value for other, value in sent.rewards.values() if other == arm) * 10**9),
        )
        for arm in {arm for arm, _ in sent.rewards.values()}
    }

    assert sent.counted == truth


def test_the_shares_moved_to_the_better_arm_and_new_units_get_it(sent: Sent, platform: Platform) -> None:
    [state] = items(platform.laptop, "state")
    shares = {arm: float(share["N"]) for arm, share in state["shares"]["M"].items()}
    time.sleep(10)  # as long as a warm process keeps what it has read
    url = output_of(platform.laptop, "DecideUrl")
    asked = (decided(f"y-{number}", url, []) for number in itertools.count())
    assigned = (decision.arm for decision in asked if decision.reason == "assigned")  # not by shares read long ago
    new = Counter(itertools.islice(assigned, 20))

    assert shares[BEST] > 0.9
    assert new[BEST] >= 15


def test_a_wrong_request_gets_its_field_over_http(sent: Sent, platform: Platform) -> None:
    with pytest.raises(InvalidRequest, match="experiment: is not declared"):
        decide("none", "u-1", url=output_of(platform.laptop, "DecideUrl"))
