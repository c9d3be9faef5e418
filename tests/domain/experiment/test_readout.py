"""A readout finds what was planted and nothing where nothing was, and says why where nothing can be said."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from domain.experiment.declaration import Arm, Better, Design, Experiment, Guardrail, Kind, Outcome, Stopping
from domain.experiment.features import Number
from domain.experiment.looks import looks
from domain.experiment.moments import of_rows
from domain.experiment.policies.linear import LinUCB
from domain.experiment.readout import NoStatistics, Readout, Verdict, read, sample_ratio
from domain.experiment.statistics import MEASURES, Summary, as_row, of_row, snapshots
from domain.experiment.words import conclusions
from tests.domain.experiment.simulated import Row, simulated

SEED = 20260301
START = date(2026, 3, 2)

BUYERS = Outcome(name="buyers", event="purchase", kind=Kind.PROPORTION)
SPENT = Outcome(name="spent", event="purchase", kind=Kind.MEAN, field="amount", lookback_days=7)
CARTS = Outcome(name="carts", event="add_to_cart", kind=Kind.COUNT)
BASKET = Outcome(name="basket", event="purchase", kind=Kind.RATIO, field="amount", denominator_event="purchase")
TYPICAL = Outcome(name="typical", event="purchase", kind=Kind.QUANTILE, field="amount", quantile=0.5)
TRIAL = Experiment(
    name="trial",
    arms=(Arm(name="control"), Arm(name="new")),
    primary=SPENT,
    secondary=(BUYERS, BASKET, TYPICAL),
    guardrails=(Guardrail(outcome=CARTS, margin=0.1),),
    stopping=Stopping(days=7, looks=7),
)


def readout(rows: list[Row], experiment: Experiment = TRIAL) -> Readout:
    return read(experiment, snapshots(rows))


def designed(design: Design) -> Experiment:
    return replace(TRIAL, secondary=(), guardrails=(), stopping=Stopping(design=design, days=7, looks=7))


def has_concluded(found: Readout) -> bool:
    return found.of("spent", "new").verdict in (Verdict.BETTER, Verdict.WORSE)


@pytest.mark.slow
@pytest.mark.parametrize("design", Design)
def test_where_there_is_no_effect_few_readouts_conclude_one_however_often_they_are_looked_at(design: Design) -> None:
    """Of 200 experiments with seven looks each; 5 % and four standard errors of the count are 22."""
    experiment = designed(design)
    concluded = sum(
        has_concluded(readout(simulated(SEED + seed, 0.0, experiment, a_day=200), experiment)) for seed in range(200)
    )

    assert concluded <= 22
    assert concluded >= (0 if design is Design.ALWAYS_VALID else 2)


@pytest.mark.slow
def test_naive_peeking_would_have_concluded_far_more_often() -> None:
    """The same null experiments, taken at 5 % on whichever of the seven days: what the designs save one from."""
    experiment = designed(Design.GROUP_SEQUENTIAL)
    peeked = 0
    for seed in range(60):
        course = readout(simulated(SEED + seed, 0.0, experiment, a_day=200), experiment).course
        peeked += any(point.arm_to_finding["new"].reading.p_value < 0.05 for point in course)

    assert peeked >= 7  # of 60; 16 % are expected, a design that holds has 3


@pytest.mark.parametrize("design", Design)
def test_a_planted_effect_is_found_with_its_size(design: Design) -> None:
    experiment = designed(design)
    found = readout(simulated(SEED, 0.2, experiment, a_day=4000), experiment)

    finding = found.of("spent", "new")
    assert finding.verdict is Verdict.BETTER
    assert finding.valid.relative_low < 0.2 < finding.valid.relative_high
    assert finding.belief is not None and finding.belief.better > 0.999
    assert "better than control in spent" in conclusions(found)[0]


def test_every_outcome_is_read_and_every_guardrail_held() -> None:
    found = readout(simulated(SEED, 0.2, TRIAL, a_day=4000))

    assert {finding.outcome for finding in found.findings} == {outcome.name for outcome in TRIAL.outcomes}
    assert found.of("buyers", "new").verdict is Verdict.BETTER
    assert found.of("carts", "new").verdict is Verdict.HOLDS
    assert not math.isnan(found.of("typical", "new").reading.p_value)
    assert found.of("basket", "new").verdict is not Verdict.NOTHING


def test_a_guardrail_that_is_lost_is_said_to_break() -> None:
    found = readout(simulated(SEED, -0.3, TRIAL, a_day=4000))

    assert found.of("carts", "new").verdict is Verdict.BREAKS
    assert any("BREAKS" in said for said in conclusions(found))


def test_what_should_fall_is_better_when_it_falls() -> None:
    fewer = replace(SPENT, better=Better.LOWER)
    experiment = replace(TRIAL, primary=fewer, secondary=(), guardrails=())

    finding = readout(simulated(SEED, -0.3, experiment, a_day=4000), experiment).of("spent", "new")

    assert finding.verdict is Verdict.BETTER
    assert finding.belief is not None and finding.belief.better > 0.999
    assert finding.belief.low < finding.belief.mean < finding.belief.high < 0


def test_a_covariate_narrows_the_interval() -> None:
    rows = simulated(SEED, 0.1, TRIAL)
    plain = replace(TRIAL, primary=replace(SPENT, lookback_days=0))

    assert (
        readout(rows).of("spent", "new").reading.standard_error
        < 0.95 * readout(rows, plain).of("spent", "new").reading.standard_error
    )


def test_a_broken_ratio_stands_above_every_result() -> None:
    found = readout(simulated(SEED, 0.3, TRIAL, a_day=4000, share=0.45))

    assert found.ratio.is_broken
    assert conclusions(found)[0].startswith("Conclude nothing")
    assert {finding.verdict for finding in found.findings} == {Verdict.UNTRUSTED}


def test_the_ratio_is_the_chi_square_test_of_the_counts() -> None:
    [*_, last] = snapshots(simulated(SEED, 0.0, TRIAL))
    units = list(last.arm_to_units.values())

    assert sample_ratio(TRIAL, last).p_value == pytest.approx(stats.chisquare(units).pvalue, rel=1e-9)


def test_a_fixed_design_concludes_nothing_before_its_end() -> None:
    experiment = designed(Design.FIXED)

    early = readout(simulated(SEED, 0.5, experiment, days=3, a_day=4000), experiment)

    assert early.of("spent", "new").verdict is Verdict.OPEN
    assert "do not act" in conclusions(early)[0]


def test_a_bound_once_crossed_stays_crossed() -> None:
    """A great effect for two days, then as great a loss: the day on which it was shown is what counts."""
    experiment = designed(Design.GROUP_SEQUENTIAL)
    good, bad = (simulated(SEED, effect, experiment, a_day=4000) for effect in (0.5, -0.5))
    rows = [row if row["day"] <= "2026-03-04" else other for row, other in zip(good, bad, strict=True)]

    found = readout(rows, experiment)

    assert found.stopped["new"] <= date(2026, 3, 5)
    assert found.of("spent", "new").verdict is Verdict.BETTER


def alone(values: list[float], arm: str = "new") -> Row:
    rows = np.column_stack([values, np.zeros(len(values)), np.zeros(len(values))])
    key = {"day": START.isoformat(), "as_of": START, "slice": "all", "outcome": "spent"}
    return {**key, "arm": arm, **as_row(Summary(of_rows(MEASURES, rows)))}


def units(count: int, arm: str | None) -> Row:
    return {
        "day": START.isoformat(), "as_of": START, "slice": "all", "outcome": None, "arm": arm, "count": count
    }  # fmt: skip


@pytest.mark.parametrize(
    ("control", "new", "why"),
    [
        ([1.0] * 9, [1.0] * 9, "no unit differs"),
        ([1.0, 2.0], [], "the arm has 0 units"),
        ([], [1.0, 2.0], "the control has 0 units"),
        ([1.0, 2.0], [1.0], "a variance takes two"),
    ],
)
def test_what_cannot_be_estimated_says_why_and_is_no_number(control: list[float], new: list[float], why: str) -> None:
    experiment = designed(Design.GROUP_SEQUENTIAL)
    rows = [units(len(control) or 1, "control"), units(len(new) or 1, "new")]

    found = readout([*rows, *([alone(control, "control")] * bool(control)), *([alone(new)] * bool(new))], experiment)

    finding = found.of("spent", "new")
    assert finding.verdict is Verdict.NOTHING
    assert why in finding.reading.why and "not estimable" in finding.reading.why
    assert any(why in said for said in conclusions(found))
    assert finding.belief is None


@pytest.mark.parametrize("measure", ["value", "covariate", "value_value"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_number_that_is_none_never_becomes_a_reading(measure: str, bad: float) -> None:
    rows = simulated(SEED, 0.2, TRIAL)
    broken = [{**row, measure: bad} if row["outcome"] == "spent" and row["arm"] == "new" else row for row in rows]

    found = readout(broken)

    assert found.of("spent", "new").verdict is Verdict.NOTHING
    assert found.of("buyers", "new").verdict is not Verdict.NOTHING


def test_units_that_saw_several_arms_are_told() -> None:
    rows = simulated(SEED, 0.0, TRIAL, days=1)

    found = readout([*rows, units(50, None)])

    assert found.excluded == 50
    assert any("saw more than one arm" in said for said in conclusions(found))


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(NoStatistics, match="no unit has been exposed"):
        read(TRIAL, [])


def test_arms_beyond_two_pay_for_being_several() -> None:
    experiment = replace(
        designed(Design.FIXED), arms=(Arm(name="control"), Arm(name="new"), Arm(name="newer")), control="control"
    )
    rows = simulated(SEED, 0.05, experiment, share=2 / 3)

    found = [readout(rows, experiment).of("spent", arm) for arm in ("new", "newer")]

    least = min(found, key=lambda finding: finding.reading.p_value)
    assert least.adjusted == pytest.approx(min(1.0, 2 * least.reading.p_value), rel=1e-12)
    assert sum(finding.belief.best for finding in found if finding.belief) < 1


def test_a_policy_that_favours_an_arm_on_good_days_does_not_make_it_look_better() -> None:
    """Both arms are alike; the second day is good for all, and there the policy shows the new one."""
    experiment = replace(designed(Design.FIXED), policy=object())
    random, rows = np.random.default_rng(SEED), []
    for number, (share, level) in enumerate(((0.2, 1.0), (0.8, 3.0))):
        key = {"day": (START + timedelta(days=number)).isoformat(), "as_of": START + timedelta(days=6), "slice": "all"}
        for arm, part in (("control", 1 - share), ("new", share)):
            values = random.normal(level, 1, int(5000 * part))
            columns = np.column_stack([values, np.zeros((len(values), 2))])
            summary = Summary(of_rows(MEASURES, columns))
            rows += [{**key, "arm": arm, "outcome": None, "count": len(values)}]
            rows += [{**key, "arm": arm, "outcome": "spent", **as_row(summary)}]

    found = readout(rows, experiment)

    assert abs(found.of("spent", "new").reading.effect) < 4 * found.of("spent", "new").reading.standard_error < 0.2
    assert found.ratio.why


def test_the_allocation_tells_who_came_to_which_arm_on_each_day() -> None:
    found = readout(simulated(SEED, 0.0, TRIAL))

    assert list(found.allocation) == [(START + timedelta(days=number)).isoformat() for number in range(7)]
    assert {sum(arms.values()) for arms in found.allocation.values()} == {400}
    assert {arm: sum(day[arm] for day in found.allocation.values()) for arm in found.arm_to_units} == found.arm_to_units


def test_looks_spend_all_of_the_error_by_the_end_and_none_twice() -> None:
    taken = looks(TRIAL, snapshots(simulated(SEED, 0.0, TRIAL)))

    assert [look.elapsed for look in taken] == list(range(1, 8))
    assert all(later.bound < earlier.bound for earlier, later in pairwise(taken))
    assert 1.96 < taken[-1].bound < 2.1  # O'Brien and Fleming's is 2.06 or so at the last of seven


def test_a_look_without_new_units_spends_nothing() -> None:
    rows = simulated(SEED, 0.0, TRIAL, days=4)
    again = [{**row, "as_of": START + timedelta(days=4)} for row in rows if row["as_of"] == START + timedelta(days=3)]

    *_, fourth, fifth = looks(TRIAL, snapshots([*rows, *again]))

    assert (fourth.elapsed, fifth.elapsed) == (4, 5)
    assert fourth.bound == fifth.bound


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=20))
def test_a_summary_is_read_as_it_was_written(rows: list[tuple[float, float, float]]) -> None:
    summary = Summary(of_rows(MEASURES, np.array(rows)))

    again = of_row(json.loads(json.dumps(as_row(summary)))).moments

    assert again.count == summary.moments.count
    assert (again.mean == summary.moments.mean).all()
    assert np.allclose(again.product, summary.moments.product, rtol=1e-12)


def test_what_stands_out_in_one_of_many_slices_is_held_against_their_number() -> None:
    """Nineteen slices without an effect and one with a large one; uncorrected, one in twenty stands out anyway."""
    found = [row for row in simulated(SEED, 0.0, TRIAL, days=1) if row["outcome"] != "spent"]
    for number in range(20):
        effect = 0.6 if number == 7 else 0.0
        for row in simulated(number, effect, replace(TRIAL, secondary=(), guardrails=()), days=1):
            if row["outcome"] == "spent":
                found += [{**row, "slice": f"country={number}"}] + ([row] if number == 0 else [])
    experiment = replace(TRIAL, stopping=Stopping(design=Design.FIXED, days=1, looks=1))

    slices = readout(found, experiment).slices

    assert len(slices) == 20
    assert [each.slice for each in slices if each.adjusted <= each.level] == ["country=7"]
    expected = stats.false_discovery_control([each.valid.p_value for each in slices])
    assert [each.adjusted for each in slices] == pytest.approx(list(expected))
    told = [said for said in conclusions(readout(found, experiment)) if "stands out" in said]
    assert len(told) == 1
    assert "country=7" in told[0]


def test_arms_of_a_policy_that_chooses_by_context_are_not_compared_by_their_plain_means() -> None:
    """The young got one arm and the old the other: a difference of means is that of the young and the old."""
    by_age = replace(TRIAL, policy=LinUCB(), features=(Number(key="age", low=0, high=100),))

    found = readout(simulated(SEED, 0.3, TRIAL), by_age)

    assert {finding.verdict for finding in found.findings} == {Verdict.NOTHING}
    assert all("`make value`" in finding.reading.why and finding.belief is None for finding in found.findings)


@pytest.mark.parametrize("a_day", [4, 8, 20, 2_000])
def test_an_interval_of_few_units_excludes_nought_only_where_the_verdict_does(a_day: int) -> None:
    """A normal's bound around a Student's statistic of two units lay beyond nought while nothing was decided."""
    experiment = replace(TRIAL, primary=replace(SPENT, lookback_days=0))
    for seed in range(12):
        found = read(experiment, snapshots(simulated(seed, 2.0, experiment, days=6, a_day=a_day, share=0.5)))
        for point in found.course:
            finding = point.arm_to_finding["new"]
            if finding.reading.is_estimable:
                is_excluded = not finding.valid.low <= 0 <= finding.valid.high
                assert is_excluded == (finding.valid.p_value < finding.level)


def test_of_several_better_arms_no_two_are_to_be_chosen() -> None:
    arms = (Arm(name="control"), Arm(name="new"), Arm(name="newer"))
    experiment = replace(TRIAL, arms=arms, guardrails=(), secondary=())
    shares = 2 / 3
    said = conclusions(
        read(experiment, snapshots(simulated(SEED, 0.5, experiment, days=14, a_day=3_000, share=shares)))
    )

    assert [text for text in said if "choose the one that is most probably the best" in text] == said
    assert len(said) == 2
