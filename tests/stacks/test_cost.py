"""The estimate of the bill, and that the README shows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stacks.config import CONFIGS, KAFKA
from stacks.cost import PRICED_ON, estimate, table

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_estimate_of_today() -> None:
    assert table(CONFIGS["prod"]) in README
    assert PRICED_ON in README


@pytest.mark.parametrize("stage", CONFIGS)
def test_more_events_never_cost_less(stage: str) -> None:
    bills = [estimate(CONFIGS[stage], rate).total for rate in (0, 1, 10, 100, 1_000, 10_000, 100_000)]

    assert bills == sorted(bills)


def test_a_provisioned_shard_costs_its_hours_and_its_payload_units() -> None:
    idle = estimate(CONFIGS["dev"], 0).stream
    one_a_second = estimate(CONFIGS["dev"], 1).stream

    assert idle == pytest.approx(4 * 0.015 * 730)
    assert one_a_second - idle == pytest.approx(730 * 3600 / 1e6 * 0.014)


def test_twice_the_instances_cost_twice_the_hours() -> None:
    config = CONFIGS["prod"]
    doubled = replace(config, endpoint_instances=2 * config.endpoint_instances)

    difference = estimate(doubled, 0).sagemaker - estimate(config, 0).sagemaker

    assert difference == pytest.approx(0.23 * config.endpoint_instances * 730)


def test_a_firewall_costs_its_list_and_its_two_rules() -> None:
    config = CONFIGS["prod"]

    difference = estimate(config, 0).fixed - estimate(replace(config, front_firewall=False), 0).fixed

    assert difference == pytest.approx(5 + 2)


def test_brokers_cost_their_hours_and_volumes_whatever_comes_and_their_pollers_what_they_read() -> None:
    config = replace(CONFIGS["dev"], broker=KAFKA)
    brokers, pollers = 2 * (0.0456 * 730 + 20 * 0.10), 0.185 * 730

    assert estimate(config, 0).stream == pytest.approx(brokers + pollers)
    assert estimate(config, 20_001).stream == pytest.approx(brokers + 2 * pollers)
