"""What the demo says of experiments: whether the truth was found, and what it claims when it was not."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from demo.bandit import WORTH, worth
from demo.experiment_page import section
from demo.experiments import about_bandit, about_effects, is_broken, primary, verdict
from domain.experiment.decision import decide
from domain.experiment.page.page import as_json
from domain.experiment.readout import read
from domain.experiment.statistics import snapshots
from domain.experiments import CHECKOUT, COLOUR, EXPERIMENTS, RANKING
from tests.demo.evidence import any_evidence, any_rounds, any_truth
from tests.domain.experiment.simulated import simulated

SEED = 11


@cache
def readout(name: str, effect: float, share: float = 0.5) -> dict[str, Any]:
    """Read simulated units out and answer as the deployed function does."""
    rows = simulated(SEED, effect, EXPERIMENTS[name], days=14, a_day=600, share=share)
    found = as_json(read(EXPERIMENTS[name], snapshots(rows))) | {"page": f"s3://lake/readouts/{name}/page.html"}
    answered: dict[str, Any] = json.loads(json.dumps(found))
    return answered


def finding(name: str, effect: float, **more: float) -> dict[str, Any]:
    found = primary(readout(name, effect, **more), EXPERIMENTS[name].arms[1].name)
    assert found is not None
    return dict(found)


def truth(name: str, shift: float) -> dict[str, Any]:
    """Plant what was read, and so much more in shares of units."""
    found = finding(name, 0.5 if name == CHECKOUT.name else 0.0)
    return any_truth(name, found["arm"], found["control"], found["control"] + found["reading"]["effect"] + shift)


def test_an_effect_that_is_read_as_planted_holds_and_one_that_is_not_breaks() -> None:
    error = finding(CHECKOUT.name, 0.5)["reading"]["standard_error"]
    found = {CHECKOUT.name: readout(CHECKOUT.name, 0.5)}

    assert [claim.holds for claim in about_effects([truth(CHECKOUT.name, 3.9 * error)], found)] == [True]
    assert [claim.holds for claim in about_effects([truth(CHECKOUT.name, 4.1 * error)], found)] == [False]


def test_an_effect_of_which_nothing_was_read_is_a_broken_claim_that_says_why() -> None:
    [claim] = about_effects([truth(CHECKOUT.name, 0.0)], {CHECKOUT.name: {"nothing": "no unit has been exposed"}})

    assert not claim.holds
    assert claim.figure == "no unit has been exposed"


def test_of_too_few_shoppers_nothing_is_claimed() -> None:
    found = {**readout(CHECKOUT.name, 0.5), "findings": []}

    assert list(about_effects([truth(CHECKOUT.name, 0.0)], {CHECKOUT.name: found})) == []
    assert list(about_effects([{**truth(CHECKOUT.name, 0.0), "shoppers": 0}], {})) == []


@pytest.mark.parametrize(
    ("name", "effect", "planted", "said"),
    [
        (CHECKOUT.name, 0.5, None, "the truth was found"),
        (CHECKOUT.name, 0.5, 2.0, "the interval misses the truth"),
        (CHECKOUT.name, 0.5, 0.0, "a false alarm"),
        (COLOUR.name, 0.0, 0.0, "the truth was found: nothing where there is nothing"),
        (COLOUR.name, 0.0, 0.01, "not shown yet; the interval holds the truth"),
    ],
)
def test_whether_the_truth_was_found_is_said_in_words(
    name: str, effect: float, planted: float | None, said: str
) -> None:
    found = finding(name, effect)
    relative = found["reading"]["relative"] if planted is None else planted

    assert verdict({"relative": relative}, found) == said


def test_of_a_broken_ratio_nothing_is_said_but_that() -> None:
    assert verdict({"relative": 0.0}, finding(COLOUR.name, 0.0, share=0.6)) == "the sample ratio is broken"
    assert is_broken(readout(COLOUR.name, 0.0, share=0.6))
    assert verdict({"relative": 0.0}, None) == "not read yet"


def test_a_broken_ratio_stands_above_all_that_the_section_shows() -> None:
    shown = {CHECKOUT.name: readout(CHECKOUT.name, 0.5), COLOUR.name: readout(COLOUR.name, 0.0, share=0.6)}
    page = section({"experiments": {"effects": [], "readouts": shown, "bandit": None}})

    assert page.index("Conclude nothing") < page.index("<svg") < page.index("one_page is better")
    assert 'class="conclusions alarm"' in page


def test_the_section_shows_readings_truths_beliefs_and_the_bandit() -> None:
    shown = {CHECKOUT.name: readout(CHECKOUT.name, 0.5), RANKING.name: {"experiment": "ranking", "nothing": "none yet"}}
    page = section({"experiments": {"effects": [truth(CHECKOUT.name, 0.0)], "readouts": shown, "bandit": any_rounds()}})

    for words in ("planted truth", "the truth was found", "Given the data, one_page is better", "Sample ratio: p ="):
        assert words in page
    for words in ("who got which arm", "personal 55%", "at most", "equal shares would have lost"):
        assert words in page
    assert page.count("<svg") == 4


def test_a_page_without_experiments_has_no_section() -> None:
    nothing: dict[str, Any] = {"effects": [], "readouts": {CHECKOUT.name: {"nothing": "no unit"}}, "bandit": None}

    assert section({"experiments": nothing}) == section(any_evidence(experiments=None)) == ""


def test_a_sound_bandit_holds_its_claims() -> None:
    assert all(claim.holds for claim in about_bandit(any_rounds()))


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        ({"counted": {**any_rounds()["sent"], "recent": [41, 11]}}, 1),
        ({"counted": {**any_rounds()["sent"], "recent": [40, 12]}}, 1),
        ({"shares": {"popular": 0.5, "recent": 0.3, "personal": 0.2}}, 2),
        ({"rounds": [{**any_rounds()["rounds"][0], "off": 1e-9}]}, 0),
    ],
    ids=["one reward too many", "one worth more", "another arm is preferred", "not as published"],
)
def test_a_bandit_that_errs_breaks_its_claim(broken: dict[str, Any], place: int) -> None:
    holds = [claim.holds for claim in about_bandit(any_rounds() | broken)]

    assert holds == [number != place for number in range(3)]


def test_what_comes_of_a_decision_is_the_same_whenever_it_is_asked_and_as_often_as_planted() -> None:
    decisions = [decide(RANKING, f"visitor-{number}", {}) for number in range(6_000)]

    for arm, share in WORTH.items():
        values = [worth(decision) for decision in decisions if decision.arm == arm]
        assert values == [worth(decision) for decision in decisions if decision.arm == arm]
        assert sum(values) / len(values) == pytest.approx(share, abs=4.5 * (share * (1 - share) / len(values)) ** 0.5)
