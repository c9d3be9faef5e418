from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.experiment.decision import control, decide, decision_id, effective, exposure, kept
from domain.experiments import CHECKOUT, RANKING
from domain.ingest.contract import check

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(any)


@given(SHARES, st.text(min_size=1, max_size=20))
def test_a_decision_s_propensity_is_its_arm_s_share(shares: list[float], unit: str) -> None:
    published = dict(zip((arm.name for arm in RANKING.arms), shares, strict=True))

    decision = decide(RANKING, unit, {}, published)

    assert 0 < decision.propensity <= 1
    assert decision.propensity == effective(RANKING, published)[decision.arm]
    assert decision == decide(RANKING, unit, {}, published)


def test_units_are_decided_as_often_as_the_shares_say() -> None:
    published = {"popular": 0.05, "recent": 0.15, "personal": 0.8}

    seen = Counter(decide(RANKING, f"u-{n}", {}, published).arm for n in range(20_000))

    chi_square = sum((seen[arm] - 20_000 * share) ** 2 / (20_000 * share) for arm, share in published.items())
    assert chi_square < 13.8  # p = 0.001 with two degrees of freedom


def test_a_frozen_arm_is_given_to_nobody_even_while_its_share_is_still_published() -> None:
    frozen = replace(RANKING, frozen=("personal",))
    published = {"popular": 0.1, "recent": 0.1, "personal": 0.8}

    assert effective(frozen, published) == {"popular": 0.5, "recent": 0.5}
    assert {decide(frozen, f"u-{n}", {}, published).arm for n in range(100)} == {"popular", "recent"}


def test_a_unit_that_had_an_arm_which_is_frozen_or_gone_since_gets_the_control() -> None:
    frozen = replace(RANKING, frozen=("personal",))

    for arm in ("personal", "gone"):
        assert kept(frozen, "u-1", arm, 0.8) == control(frozen, "u-1", "arm_withdrawn")
    assert kept(frozen, "u-1", "recent", 0.3).propensity == 0.3


@pytest.mark.parametrize("published", [{}, {"gone": 1.0}, {"popular": 0.0}, None])
def test_what_is_published_of_no_arm_leaves_the_declared_shares(published: dict[str, float] | None) -> None:
    assert effective(RANKING, published) == pytest.approx(RANKING.arm_to_share)


def test_an_exposure_keeps_its_contract() -> None:
    event = exposure(decide(CHECKOUT, "u-1", {}), NOW)

    assert check(json.dumps(event).encode(), NOW).event == "exposure"
    assert event["event_id"] == decision_id("one_page_checkout", "u-1", event["arm"])


def test_who_is_not_part_of_it_was_exposed_to_nothing() -> None:
    with pytest.raises(ValueError, match=r"u-1 is not part of it \(unavailable\)"):
        exposure(control(CHECKOUT, "u-1", "unavailable"), NOW)


def test_decisions_of_other_experiments_units_and_arms_have_other_names() -> None:
    names = {decision_id(e, u, a) for e in ("a", "ab") for u in ("c", "bc") for a in ("x", "y")}

    assert len(names) == 8
