from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.experiment.decision import Decision
from domain.experiment.learning import BILLION
from domain.experiments import RANKING
from lambdas.experiment import learn
from lambdas.experiment.bandits import Bandits
from lambdas.experiment.decisions import Decisions
from tests.lambdas.experiment.conftest import Remaining, Service, forget, make_table, reward

ARMS = [arm.name for arm in RANKING.arms]
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Killed(BaseException):
    """The process ends here: no handler of ours catches it."""


def kept(service: Service, unit: str, arm: str, at: datetime = NOW) -> None:
    decision = Decision(
        experiment="ranking", unit=unit, arm=arm, propensity=1 / 3, decision_id="any", reason="assigned"
    )
    service.decisions.keep(decision, at)


def truth(rewards: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Sum each distinct reward once."""
    sums: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for event in {event["event_id"]: event for event in rewards}.values():
        pulls, total = sums[event["arm"]]
        sums[event["arm"]] = (pulls + 1, total + round(event["value"] * BILLION))
    return dict(sums)


def some_rewards(service: Service, seed: int, units: int = 30) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    events = []
    for number in range(units):
        unit, arm = f"u-{seed}-{number}", chance.choice(ARMS)
        kept(service, unit, arm)
        for again in range(chance.randrange(3)):
            events.append(reward(unit, arm, chance.choice([0.0, 1.0, 0.1, chance.random()]), f"r-{unit}-{again}"))
    return events


def test_rewards_are_counted_to_their_arms_and_no_reward_yet_is_not_a_nought(service: Service) -> None:
    for unit, arm in (("u-1", "recent"), ("u-2", "recent"), ("u-3", "popular")):
        kept(service, unit, arm)
    service.land([reward("u-1", "recent", 1.0, "r-1"), reward("u-3", "popular", 0.25, "r-2")])

    said = service.learn()

    assert (said["counted"], said["refused"]) == (2, {})
    assert service.counted() == {"recent": (1, BILLION), "popular": (1, BILLION // 4)}


@pytest.mark.slow
def test_rewards_that_come_five_times_shuffled_and_in_other_batches_count_once(service: Service) -> None:
    rewards = some_rewards(service, seed=1)
    sent = rewards * 5
    random.Random(2).shuffle(sent)
    for start in range(0, len(sent), 17):
        service.land(sent[start : start + 17])
        if start % 3 == 0:
            service.learn()

    service.learn()

    assert service.counted() == truth(rewards)


def test_a_batch_that_is_delivered_again_counts_once(service: Service) -> None:
    rewards = some_rewards(service, seed=3)
    service.land(rewards)
    service.learn()
    service.landed = 0
    service.land(rewards)  # the same records of the stream

    service.learn()

    assert service.counted() == truth(rewards)


def test_a_reward_a_day_late_counts_as_one_in_time(service: Service) -> None:
    kept(service, "u-1", "recent", datetime.now(timezone.utc) - timedelta(days=1, hours=2))
    late = reward("u-1", "recent", 1.0, "r-1")
    service.land([late | {"event_time": (datetime.now(timezone.utc) - timedelta(days=1)).isoformat()}])

    service.learn()

    assert service.counted() == {"recent": (1, BILLION)}


def deadly(chance: random.Random, share: float, call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call die before it does anything, or after it did."""

    def dying(*arguments: Any, **named: Any) -> Any:
        fate = chance.random()
        if fate < share / 2:
            raise Killed
        done = call(*arguments, **named)
        if fate < share:
            raise Killed
        return done

    return dying


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("LEARNERS", "2")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10**6))
def test_a_learner_that_is_killed_anywhere_counts_the_truth_in_the_end(service: Service, seed: int) -> None:
    chance = random.Random(seed)
    clean(service)
    rewards = some_rewards(service, seed, units=10)
    sent = rewards * 5
    chance.shuffle(sent)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Decisions, "mark"),
            (Bandits, "add"),
            (Bandits, "advance"),
            (Bandits, "publish"),
        ):
            patch.setattr(owner, name, deadly(chance, 0.05 if name == "mark" else 0.3, getattr(owner, name)))
        cut = sorted(chance.sample(range(len(sent) + 1), 2)) if len(sent) > 1 else [0, 0]
        for part in (sent[: cut[0]], sent[cut[0] : cut[1]], sent[cut[1] :]):
            if part:
                service.land(part)
            for _ in range(3):
                try:
                    service.learn()
                except Killed:
                    forget()

    service.learn()

    assert service.counted() == truth(rewards)


def clean(service: Service) -> None:
    """Begin with empty tables."""
    for table, key in ((service.decisions.table, "unit"), (service.bandits.table, "experiment")):
        service.decisions.client.delete_table(TableName=table)
        make_table(service.decisions.client, table, key)


def test_two_learners_at_the_same_receipt_count_it_once(service: Service) -> None:
    rewards = some_rewards(service, seed=5)
    service.land(rewards)
    service.learn()
    service.decisions.client.delete_item(  # as the second saw it: the shard not read
        TableName=service.bandits.table,
        Key={"experiment": {"S": "(read)"}, "item": {"S": f"{service.stream}/shardId-000000000000"}},
    )

    assert service.learn()["counted"] == 0
    assert service.counted() == truth(rewards)


def test_shards_are_counted_apart_and_summed(service: Service) -> None:
    kept(service, "u-1", "recent")
    kept(service, "u-2", "recent")
    service.land([reward("u-1", "recent", 1.0, "r-1")])
    service.land([reward("u-2", "recent", 1.0, "r-2")], shard="shardId-000000000001")

    service.learn()

    assert service.counted() == {"recent": (2, 2 * BILLION)}


def test_what_fits_no_decision_is_refused_with_its_reason_and_written_beside_its_unit(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(service, "u-1", "recent")
    service.land(
        [
            reward("u-1", "popular", 1.0, "r-other"),
            reward("u-2", "recent", 1.0, "r-none"),
            reward("u-1", "gone", 1.0, "r-arm"),
            reward("u-1", "recent", 1.0, "r-unknown", experiment="none"),
            reward("u-1", "control", 1.0, "r-lake", experiment="one_page_checkout"),  # no bandit: the lake's alone
            reward("u-9", "recent", 1.0, "x-1") | {"event": "exposure", "propensity": 0.5},
        ]
    )

    said = service.learn()

    wanted = {"other_arm": 1, "no_decision": 2, "unknown_arm": 1, "unknown_experiment": 1}
    assert (said["counted"], said["refused"]) == (0, wanted)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["Reason"]: line["FeedbackRefused"] for line in lines if "FeedbackRefused" in line} == wanted
    found = service.decisions.client.get_item(
        TableName=service.decisions.table, Key={"unit": {"S": "u-2"}, "item": {"S": "reward/r-none"}}
    )
    assert found["Item"]["refused"] == {"S": "no_decision"}


def test_a_reward_over_its_range_is_set_aside_by_the_consumer_and_never_counts(service: Service) -> None:
    kept(service, "u-1", "recent")
    service.land([reward("u-1", "recent", 1.5, "r-1"), reward("u-1", "recent", -0.1, "r-2")])

    assert service.learn()["counted"] == 0
    assert service.counted() == {}


def test_shares_follow_the_rewards_and_each_version_follows_the_one_before(service: Service) -> None:
    first = service.learn()["published"]
    evenly = service.bandits.published("ranking")
    for number in range(60):
        arm = ARMS[number % 3]
        kept(service, f"u-{number}", arm)
    service.land([reward(f"u-{n}", ARMS[n % 3], float(ARMS[n % 3] == "personal"), f"r-{n}") for n in range(60)])

    second = service.learn()["published"]

    after = service.bandits.published("ranking")
    assert (first, second) == ({"ranking": 1}, {"ranking": 2})
    assert evenly
    assert after
    assert list(evenly.arm_to_share.values()) == pytest.approx([1 / 3] * 3)
    assert sum(after.arm_to_share.values()) == pytest.approx(1.0, abs=1e-12)
    assert after.arm_to_share["personal"] == pytest.approx(1 - 2 * RANKING.floor, abs=1e-3)
    assert min(after.arm_to_share.values()) >= RANKING.floor


def test_an_old_version_is_not_published_over_a_newer_one(service: Service) -> None:
    service.learn()

    assert not service.bandits.publish("ranking", {"popular": 1.0}, 0, NOW)


def test_a_learner_that_runs_out_of_time_goes_on_with_the_next_invocation(service: Service) -> None:
    rewards = some_rewards(service, seed=7)
    service.land(rewards)

    learn.handler({}, Remaining(seconds=10))
    assert service.counted() == {}
    service.learn()

    assert service.counted() == truth(rewards)
