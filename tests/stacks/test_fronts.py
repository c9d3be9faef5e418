"""What each way in costs, against sums made by hand from the price list."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from benchmarks.cost import RATE, bar
from stacks.capacity import Expected
from stacks.config import CONFIGS, ON_DEMAND, PROVISIONED, Config
from stacks.cost import HTTP_MILLION, REST_MILLION
from stacks.fronts import (
    CAPACITIES,
    OPEN,
    RATES,
    SIGNED,
    WAYS,
    arithmetic,
    cheapest,
    cost,
    reigns,
    table,
    tiered,
)

FRAMES, AGGREGATES, PLAIN, REST_BATCH, REST_ONE, HTTP_ONE = WAYS
PROD = CONFIGS["prod"]


def any_config(producers: int = 20) -> Config:
    expected = Expected(events_per_second=RATE, peak_events_per_second=RATE, event_bytes=1_000, producers=producers)
    return replace(PROD, expected=expected)


def test_plain_records_pay_a_unit_each_and_their_shards() -> None:
    """10,000 records of 1,016 bytes a second at 60 % of a shard's 1,000 records and 1 MB: 17 shards."""
    found = cost(any_config(), PLAIN, RATE, PROVISIONED)

    assert found.stream == pytest.approx(17 * 0.015 / 36 + 0.014)


def test_plain_records_on_demand_pay_whole_kilobytes_in_and_their_bytes_out() -> None:
    found = cost(any_config(), PLAIN, RATE, ON_DEMAND)

    assert found.stream == pytest.approx(0.04 / 36 + 1_024 / 1e3 * 0.08 + 1_016 / 1e3 * 0.04)


def test_frames_share_a_unit() -> None:
    """One producer at 10,000 a second has 1,000 events in its linger, of which a frame takes 500: 120 bytes each."""
    found = cost(any_config(producers=1), FRAMES, RATE, PROVISIONED)

    weight = 1_000 * 0.120 + 16 / 500
    shards, units = 3, 3  # 1.2 MB a second at 60 %; 60,016 bytes
    assert found.stream == pytest.approx(shards * 0.015 / 36 + units / 500 * 0.014)
    on_demand = cost(any_config(producers=1), FRAMES, RATE, ON_DEMAND)
    assert on_demand.stream == pytest.approx(0.04 / 36 + 59 * 1_024 / 500 / 1e3 * 0.08 + weight / 1e3 * 0.04)


def test_an_aggregate_of_25_events_of_1_kb_is_one_unit_and_compresses_nothing() -> None:
    found = cost(any_config(), AGGREGATES, RATE, PROVISIONED)

    assert found.stream == pytest.approx(17 * 0.015 / 36 + 0.014 / 25)


def test_a_consumer_pays_its_time_its_calls_and_its_files() -> None:
    """A call carries 3,258 plain events: 6 MB over 1,016 bytes in base64 and the 572 around them."""
    found = cost(replace(any_config(), batch_window_seconds=300), PLAIN, RATE, PROVISIONED).consumer

    carried = int(6 * 1024 * 1024 / (1_016 * 4 / 3 + 572))
    calls = 1e6 / carried
    seconds = calls * 0.4 + 1e6 / 40_000
    assert found == pytest.approx(seconds * 1.728 * 0.0000133334 + calls * 0.20 / 1e6 + calls * 9 * 0.005 / 1e3)


@pytest.mark.parametrize(
    ("million", "tiers", "price"),
    [
        (1, REST_MILLION, 3.50),
        (333, REST_MILLION, 333 * 3.50),
        (1_333, REST_MILLION, 333 * 3.50 + 667 * 2.80 + 333 * 2.38),
        (26_280, REST_MILLION, 333 * 3.50 + 667 * 2.80 + 19_000 * 2.38 + 6_280 * 1.51),
        (26_280, HTTP_MILLION, 300 * 1.00 + 25_980 * 0.90),
    ],
)
def test_requests_get_cheaper_in_tiers(million: float, tiers: tuple[tuple[float, float], ...], price: float) -> None:
    assert tiered(million, tiers) == pytest.approx(price)


def test_a_front_pays_its_requests_and_its_function() -> None:
    """100 events a second are 262.8 million a month, in batches of 20 13.14 million requests of the first tier."""
    function = 0.20 + 1e6 * 0.010 * 0.5 * 0.0000133334

    open_to_all = replace(any_config(), front_firewall=False)
    assert cost(open_to_all, REST_BATCH, 100, PROVISIONED).front == pytest.approx((3.50 + function) / 20)
    assert cost(any_config(), REST_BATCH, 100, PROVISIONED).front == pytest.approx((3.50 + function + 0.60) / 20)
    assert cost(any_config(), HTTP_ONE, 100, PROVISIONED).front == pytest.approx(1.00)
    assert cost(any_config(), PLAIN, 100, PROVISIONED).front == 0


def test_framed_producers_cost_what_is_wanted_and_no_more() -> None:
    assert bar(PROD).held
    assert bar(PROD).figure == cost(PROD, FRAMES, RATE, PROVISIONED).total


@pytest.mark.parametrize(("rate", "capacity"), list(product(RATES, CAPACITIES)))
def test_frames_never_cost_more_than_anything_else(rate: int, capacity: str) -> None:
    frames = cost(PROD, FRAMES, rate, capacity).total

    assert all(frames <= cost(PROD, way, rate, capacity).total + 1e-12 for way in WAYS)


@pytest.mark.parametrize("ways", [SIGNED, OPEN, (REST_ONE, HTTP_ONE)])
def test_who_is_cheapest_changes_exactly_where_it_is_said(ways: tuple[object, ...]) -> None:
    found = reigns(PROD, ways)  # type: ignore[arg-type]

    assert found[0][0] == 1
    for first, name, capacity in found:
        way, chosen = cheapest(PROD, ways, first)  # type: ignore[arg-type]
        assert (way.name, chosen) == (name, capacity)
        before = cheapest(PROD, ways, first - 1) if first > 1 else None  # type: ignore[arg-type]
        assert before != (way, chosen)


def test_the_table_and_the_arithmetic_say_what_is_computed() -> None:
    total = cost(PROD, FRAMES, RATE, PROVISIONED).total

    assert f"| {FRAMES.name} | provisioned | 50 | 177 | 3 |" in table(PROD, RATE)
    assert f"| {total:.4f} |" in table(PROD, RATE)
    assert arithmetic(PROD, RATE).endswith(f"together  {total:.5f} USD per million events")
