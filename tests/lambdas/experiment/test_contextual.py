"""A policy that chooses by the context is served as any other: validated, logged with its propensity, learned from."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from domain.experiment import contextual
from domain.experiment.decision import decision_id
from domain.experiment.declaration import Arm, Experiment
from domain.experiment.features import MILLION, Choice, Number, fingerprint, vector
from domain.experiment.policies.linear import LinThompson
from domain.experiments import CARTS, EXPERIMENTS
from lambdas.experiment import learn
from lambdas.experiment.bandits import Bandits
from tests.lambdas.experiment.conftest import Service, forget, reward

AGE, DEVICE = Number(key="age", low=0, high=100), Choice(key="device", values=("mobile", "desktop"))
OFFER = Experiment(
    name="offer",
    arms=(Arm(name="plain"), Arm(name="bold")),
    control="plain",
    primary=CARTS,
    policy=LinThompson(noise=0.3),
    features=(AGE, DEVICE),
    floor=0.05,
    layer="offer",
)
SEED = 20260301


@pytest.fixture(autouse=True)
def offer(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setitem(EXPERIMENTS, "offer", OFFER)
    return OFFER


def context(number: int) -> dict[str, Any]:
    chance = random.Random(f"{SEED}/{number}")
    return {"age": chance.randrange(101), "device": chance.choice(DEVICE.values)}


def asked(service: Service, unit: str, said: dict[str, Any]) -> dict[str, Any]:
    status, answer = service.post({"experiment": "offer", "unit": unit, "context": said})
    assert status == 200, answer
    return answer


def rewards_of(service: Service, units: range) -> list[dict[str, Any]]:
    """Let units be asked for, and reward them: bold is for the young, plain for the old."""
    found = []
    for number in units:
        said = asked(service, f"u-{number}", context(number))
        is_liked = (context(number)["age"] < 50) is (said["arm"] == "bold")
        found.append(reward(f"u-{number}", said["arm"], float(is_liked), f"r-{number}", "offer"))
    return found


def test_the_declared_shares_hold_until_something_is_learned(service: Service) -> None:
    assert {asked(service, f"u-{number}", context(number))["propensity"] for number in range(20)} == {0.5}


@pytest.mark.slow
def test_what_is_learned_is_the_ridge_regression_of_every_reward_once(service: Service, offer: Experiment) -> None:
    rewards = rewards_of(service, range(40))
    sent = rewards * 3
    random.Random(SEED).shuffle(sent)
    for start in range(0, len(sent), 13):
        service.land(sent[start : start + 13])
        if start % 2:
            service.learn()
    service.learn()
    published = service.bandits.published("offer")
    assert published
    assert published.regressed

    found = contextual.of_bytes(published.regressed.arms, published.regressed.fingerprint, published.regressed.said)
    for place, arm in enumerate(found.arms):
        mine = [each for each in rewards if each["arm"] == arm]
        rows = np.array([vector(offer.features, context(int(each["user_id"][2:]))) for each in mine]) / MILLION
        inverse = np.linalg.inv(np.eye(4) + rows.T @ rows)
        assert found.regressions.inverse[place] == pytest.approx(inverse, abs=1e-12)
        expected = inverse @ rows.T @ np.array([each["value"] for each in mine])
        assert found.regressions.coefficients[place] == pytest.approx(expected, abs=1e-12)
    assert service.counted("offer").keys() == {"plain", "bold"}


@pytest.mark.slow
def test_propensities_are_the_policy_s_at_the_context_and_so_are_the_frequencies(
    service: Service, offer: Experiment
) -> None:
    service.land(rewards_of(service, range(60)))
    service.learn()
    forget()
    published = service.bandits.published("offer")
    assert published
    assert published.regressed
    known = contextual.of_bytes(published.regressed.arms, published.regressed.fingerprint, published.regressed.said)
    young: dict[str, Any] = {"age": 20, "device": "mobile"}
    shares = contextual.shares(offer, known, vector(offer.features, young))

    said = [asked(service, f"v-{number}", young) for number in range(100)]

    assert shares["bold"] > 0.6
    assert min(shares.values()) >= 0.05
    assert {each["propensity"] for each in said} <= set(shares.values())
    assert all(each["propensity"] == shares[each["arm"]] for each in said)
    seen = Counter(each["arm"] for each in said)["bold"]
    assert abs(seen - 100 * shares["bold"]) < 4 * math.sqrt(100 * shares["bold"] * shares["plain"])
    assert service.exposures()[-1]["propensity"] == said[-1]["propensity"]


def test_a_unit_keeps_its_arm_when_its_context_changes(service: Service) -> None:
    first = asked(service, "u-1", {"age": 20, "device": "mobile"})
    forget()

    second = asked(service, "u-1", {"age": 90, "device": "desktop"})

    assert (second["arm"], second["reason"]) == (first["arm"], "kept")
    kept = service.decisions.of([("offer", "u-1")])["offer", "u-1"]
    assert kept.features == (MILLION, 200_000, MILLION, 0)
    assert kept.fingerprint == fingerprint(OFFER.features)


@pytest.mark.parametrize(
    ("said", "field", "error"),
    [
        ({"device": "mobile"}, "context.age", "is missing"),
        ({"age": 120, "device": "mobile"}, "context.age", "is 120"),
        ({"age": "20", "device": "mobile"}, "context.age", "is '20'"),
        ({"age": True, "device": "mobile"}, "context.age", "is True"),
        ({"age": float("nan"), "device": "mobile"}, "context.age", "is nan"),
        ({"age": 20, "device": "tv"}, "context.device", "is 'tv'"),
        ({"age": 20, "device": ["mobile"]}, "context.device", "is ['mobile']"),
        ({"age": 20, "device": "mobile", "country": 4}, "context.country", "is not text"),
    ],
    ids=str,
)
def test_a_context_that_breaks_the_declaration_is_refused_with_its_key(
    service: Service, said: dict[str, Any], field: str, error: str
) -> None:
    status, answer = service.post({"experiment": "offer", "unit": "u-1", "context": said})

    assert (status, answer["field"], answer["error"]) == (400, field, error)
    assert answer["fix"]
    assert service.exposures() == []


class Killed(BaseException):
    """The process ends here: no handler of ours catches it."""


@pytest.mark.parametrize("after", [False, True])
def test_a_learner_that_dies_beside_its_counter_is_repeated_without_a_reward_twice(
    service: Service, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    service.land(rewards_of(service, range(10)))
    update = Bandits._update

    def dies(self: Bandits, *asked: Any) -> bool:
        if after:
            update(self, *asked)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Bandits, "_update", dies)
        with pytest.raises(Killed):
            service.learn()
    service.learn()
    service.learn()

    assert sum(pulls for pulls, _ in service.counted("offer").values()) == 10
    assert sum(constant(service, arm) for arm in ("plain", "bold")) == 10


def constant(service: Service, arm: str) -> int:
    """Count an arm's rewards by the evidence: the constant's product with itself."""
    found = service.bandits.evidence("offer", "", fingerprint(OFFER.features))
    return sum(evidence[arm].products[0] for _, evidence in found if arm in evidence) // MILLION**2


def test_two_learners_at_once_raise_a_counter_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reads the counter before the first writes it."""
    service.land(rewards_of(service, range(10)))
    update, times = Bandits._update, iter([True])

    def overtaken(self: Bandits, *asked: Any) -> bool:
        if next(times, False):
            monkeypatch.setattr(Bandits, "_update", update)
            service.learn()
        return update(self, *asked)

    monkeypatch.setattr(Bandits, "_update", overtaken)
    said = service.learn()

    assert said["counted"] == 0
    assert sum(constant(service, arm) for arm in ("plain", "bold")) == 10


def test_decisions_by_other_features_count_and_say_nothing_of_these(
    service: Service, offer: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewards = rewards_of(service, range(10))
    narrow = replace(offer, features=(AGE,))
    monkeypatch.setitem(EXPERIMENTS, "offer", narrow)
    service.land(rewards)
    service.learn()
    forget()

    assert sum(pulls for pulls, _ in service.counted("offer").values()) == 10
    published = service.bandits.published("offer")
    assert published
    assert published.regressed
    found = contextual.of_bytes(published.regressed.arms, published.regressed.fingerprint, published.regressed.said)
    assert found.regressions.coefficients == pytest.approx(np.zeros((2, 2)))
    assert asked(service, "v-1", {"age": 20})["decision"] == decision_id(
        "offer", "v-1", asked(service, "v-1", {"age": 20})["arm"]
    )


def test_a_half_life_weighs_evidence_by_the_hour_of_its_decision(service: Service, offer: Experiment) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    halved = replace(offer, half_life_hours=6.0)
    service.land(rewards_of(service, range(10)))
    service.learn()
    evidence = dict(service.bandits.evidence("offer", "", fingerprint(OFFER.features)))["always"]

    new = contextual.learnt(halved, [("2026-03-01T12:00+00:00", evidence)], now)
    old = contextual.learnt(halved, [("2026-03-01T06:00+00:00", evidence)], now)

    def strength(found: contextual.Learnt) -> np.ndarray:
        inverse: np.ndarray = np.linalg.inv(found.regressions.inverse) - np.eye(4)
        return inverse

    assert strength(old) == pytest.approx(strength(new) / 2, abs=1e-9)


def test_who_declares_a_contextual_policy_brings_no_numpy_until_it_decides() -> None:
    program = (
        "import sys; from domain.experiment.policies.linear import LinThompson, LinUCB; "
        "from domain.experiment.features import Number; import lambdas.experiment.decide; print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "domain.experiment.policies.linear" in found
    assert not {"numpy", "domain.experiment.contextual"} & set(found)


def test_learners_read_what_they_wrote(service: Service) -> None:
    assert learn.Learner(service.decisions, service.bandits, EXPERIMENTS).publish(datetime.now(timezone.utc))["offer"]
