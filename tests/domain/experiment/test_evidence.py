"""Evidence is summed exactly in any order, and a policy's shares at a context are those with which it would draw."""

from __future__ import annotations

import math
import random
import struct
from dataclasses import replace
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.experiment import contextual
from domain.experiment.declaration import Arm, Experiment, Kind, Outcome
from domain.experiment.evidence import Evidence, of, of_text, text, together
from domain.experiment.features import (
    LARGEST_ITEM,
    MILLION,
    Choice,
    InvalidContext,
    Number,
    fingerprint,
    largest,
    size,
    vector,
)
from domain.experiment.policies.linear import LinThompson, LinUCB

SEED = 20260301
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
FEATURES = (Number(key="age", low=18, high=80), Choice(key="device", values=("mobile", "desktop")))
OFFER = Experiment(
    name="offer",
    arms=tuple(Arm(name=name) for name in ("a", "b", "c")),
    control="a",
    primary=Outcome(name="carts", event="add_to_cart", kind=Kind.COUNT),
    policy=LinThompson(noise=0.4),
    features=FEATURES,
)
rewards = st.lists(
    st.tuples(st.floats(18, 80), st.sampled_from(FEATURES[1].values), st.floats(0, 1), st.sampled_from("abc")),
    min_size=1,
    max_size=30,
)


def said(age: float, device: str, value: float) -> Evidence:
    return of(vector(FEATURES, {"age": age, "device": device}), round(value * 10**9))


@given(rewards, st.randoms(use_true_random=False))
def test_evidence_is_the_same_in_any_order_and_after_writing(
    found: list[tuple[float, str, float, str]], chance: random.Random
) -> None:
    def total(some: list[tuple[float, str, float, str]]) -> dict[str, Evidence]:
        sums: dict[str, Evidence] = {}
        for age, device, value, arm in some:
            sums = of_text(text(together(sums, {arm: said(age, device, value)})))
        return sums

    before = total(found)
    chance.shuffle(found)

    assert total(found) == before


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.floats(), st.integers(), st.none())))
def test_a_context_is_a_vector_of_its_size_or_is_refused_with_its_key(context: dict[str, object]) -> None:
    try:
        found = vector(FEATURES, context)  # type: ignore[arg-type]
    except InvalidContext as invalid:
        assert invalid.key in ("age", "device")
    else:
        assert len(found) == size(FEATURES)
        assert all(0 <= number <= MILLION for number in found)


def test_other_features_have_another_name() -> None:
    assert fingerprint(FEATURES) == fingerprint(tuple(FEATURES))
    assert fingerprint(FEATURES) != fingerprint(FEATURES[:1])


def test_the_largest_evidence_fits_an_item_of_the_table() -> None:
    """A million million rewards of ten arms over fifty features."""
    most = of((MILLION,) * 51, 10**9)
    grown = Evidence(tuple(10**12 * each for each in most.products), tuple(10**12 * each for each in most.responses))
    written = text({f"arm-{number}": grown for number in range(10)})

    assert len(written) < 1.5 * largest(10, 51) < LARGEST_ITEM * 1.5
    assert len(written) < 400_000


@pytest.mark.parametrize("policy", [LinThompson(noise=0.4), LinUCB(width=0.5, epsilon=0.2)])
def test_shares_are_the_chances_with_which_the_policy_draws(policy: LinThompson | LinUCB) -> None:
    chance, evidence = random.Random(SEED), dict[str, Evidence]()
    for _ in range(60):
        age, arm = chance.uniform(18, 80), chance.choice("abc")
        evidence = together(evidence, {arm: said(age, "mobile", (age - 18) / 62 if arm == "b" else 0.5)})
    experiment = replace(OFFER, policy=policy)
    known = contextual.learnt(experiment, [("always", evidence)], NOW)
    read = contextual.of_bytes(known.arms, known.fingerprint, known.bytes())
    at = vector(FEATURES, {"age": 45, "device": "mobile"})

    shares = contextual.shares(experiment, read, at)

    draws, generator = 20_000, np.random.default_rng(SEED)
    seen = np.bincount(
        [policy.choose(known.regressions, np.array(at) / MILLION, generator) for _ in range(draws)], minlength=3
    )
    assert math.fsum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert seen / draws == pytest.approx(list(shares.values()), abs=5 * math.sqrt(0.25 / draws))


def test_frozen_arms_get_nothing_and_the_others_their_floor() -> None:
    frozen = replace(OFFER, frozen=("b",), floor=0.1)
    evidence = {arm: of((MILLION, MILLION, 0, MILLION), 10**9 if arm == "c" else 0) for arm in "abc"}
    evidence = {
        arm: Evidence(tuple(10**4 * p for p in e.products), tuple(10**4 * r for r in e.responses))
        for arm, e in evidence.items()
    }

    shares = contextual.shares(
        frozen, contextual.learnt(frozen, [("always", evidence)], NOW), (MILLION, MILLION, 0, MILLION)
    )

    assert shares == pytest.approx({"a": 0.1, "b": 0.0, "c": 0.9}, abs=1e-6)


@pytest.mark.parametrize("said", [b"", b"1234567", bytes(8 * 7), struct.pack("<6d", *[math.nan] * 6)], ids=len)
def test_bytes_that_nobody_learned_are_refused(said: bytes) -> None:
    with pytest.raises(ValueError, match=r"publish it anew|buffer size"):
        contextual.of_bytes(("control", "new", "newer"), "1f00ba44", said)
