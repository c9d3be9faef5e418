"""The page of a readout: one file, whose pictures show the numbers that they are drawn from."""

from __future__ import annotations

import math
import re
from functools import cache
from xml.etree import ElementTree

import pytest

from domain.experiment.bayesian.belief import Beta
from domain.experiment.declaration import Experiment
from domain.experiment.page.figures import WIDE, Effect, allocation, densities, forest
from domain.experiment.page.page import files
from domain.experiment.page.svg import Chart, ticks
from domain.experiment.readout import Readout, read
from domain.experiment.statistics import snapshots
from domain.experiments import CHECKOUT, COLOUR, EXPERIMENTS, RANKING
from tests.domain.experiment.simulated import simulated

SVG = "{http://www.w3.org/2000/svg}"
SEED = 5


@cache
def readout(name: str, share: float = 0.5) -> Readout:
    experiment: Experiment = EXPERIMENTS[name]
    return read(experiment, snapshots(simulated(SEED, 0.2, experiment, days=5, a_day=900, share=share)))


def row(label: str, relative: float, truth: float | None = None) -> Effect:
    once = (relative - 0.1, relative + 0.1)
    return Effect(label=label, arm="green", relative=relative, once=once, valid=(-0.3, 0.3), truth=truth)


def drawing(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_page_is_one_file_that_needs_no_other(name: str) -> None:
    page = files(readout(name))["page.html"]

    assert not re.findall(r"<(?:img|script|iframe|link rel=.stylesheet)", page)
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "$" not in page


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_picture_is_sound_xml_with_a_name_and_every_place_in_it_is_a_number(name: str) -> None:
    pictures = {file: text for file, text in files(readout(name)).items() if file.endswith(".svg")}

    assert {"forest.svg", "course.svg", "statistic.svg", "densities.svg"} <= set(pictures)
    for file, text in pictures.items():
        places = [value for part in drawing(text).iter() for key, value in part.items() if key != "aria-label"]
        assert drawing(text).get("aria-label"), file
        assert not [value for value in places if re.search(r"\b(nan|inf)\b", value)], file


def test_a_bandit_shows_its_allocation_and_what_exploring_has_cost() -> None:
    written = files(readout(RANKING.name))

    assert "allocation.svg" in written
    assert "lost by exploring" in written["page.html"]
    assert "Not having chosen the best arm" in written["page.html"]
    assert "allocation.svg" not in files(readout(CHECKOUT.name))


def test_the_belief_is_said_in_words_beside_the_reading_of_the_design() -> None:
    page = files(readout(COLOUR.name))["page.html"]

    assert page.index("What may be concluded now") < page.index("Given the data, green is better") < page.index("<svg")
    assert "Given the data" not in files(readout(COLOUR.name, share=0.6))["page.html"]


def test_a_broken_ratio_stands_above_every_picture() -> None:
    page = files(readout(CHECKOUT.name, share=0.6))["page.html"]

    assert page.index("Conclude nothing") < page.index("<svg")


def test_an_effect_lies_where_it_is_and_its_truth_beside_it() -> None:
    drawn = drawing(forest([row("buyers", 0.0), row("carts", 0.2, truth=0.1)]))
    dots = [float(dot.get("cx", "nan")) for dot in drawn.iter(f"{SVG}circle")]
    [truth] = [float(rect.get("x", "nan")) + 4.5 for rect in drawn.iter(f"{SVG}rect") if rect.get("transform")]

    assert dots[0] < truth < dots[1] < WIDE
    assert truth == pytest.approx((dots[0] + dots[1]) / 2, abs=0.2)


def test_an_effect_that_cannot_be_estimated_is_left_out() -> None:
    drawn = forest([row("buyers", math.nan), row("carts", 0.2)])

    assert "carts" in drawn and "buyers" not in drawn and "nan" not in drawn


def test_shares_fill_the_whole_of_each_period() -> None:
    drawn = drawing(allocation("shares", ["1", "2"], {"a": [1, 9], "b": [3, 1], "c": [0, 0]}, "a"))
    bars = [rect for rect in drawn.iter(f"{SVG}rect") if rect.get("height") != "10"]
    heights = [float(bar.get("height", "nan")) for bar in bars]

    assert heights[0] + heights[2] == pytest.approx(heights[1] + heights[3], abs=0.2)
    assert heights[2] == pytest.approx(3 * heights[0], rel=0.01)
    assert heights[4:] == [0.0, 0.0]


def test_a_surer_belief_is_a_higher_curve() -> None:
    drawn = drawing(densities("means", {"a": Beta(20, 20), "b": Beta(500, 500)}, "a"))
    curves = [line.get("points", "").split() for line in drawn.iter(f"{SVG}polyline")]
    tops = [min(float(point.split(",")[1]) for point in curve) for curve in curves if len(curve) > 50]

    assert tops[1] < tops[0]  # in a picture, up is less


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.31, 0.02), (1e-9, 3e-9), (12.0, 98_000.0)])
def test_ticks_are_round_and_lie_inside(low: float, high: float) -> None:
    found = ticks(low, high)

    assert 3 <= len(found) <= 12
    assert low - 1e-9 * abs(low) <= found[0] and found[-1] <= high + 1e-9 * abs(high)


def test_words_from_outside_are_escaped() -> None:
    chart = Chart("<script>", (0, 1), (0, 1))
    chart.words(0, 0, "<b>")

    assert "<script>" not in chart.svg() and "<b>" not in chart.svg()
