from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from local.embedded_metrics import embedded


def line(**values: object) -> str:
    directive = {
        "Namespace": "Shop",
        "Dimensions": [["Kind"], []],
        "Metrics": [{"Name": "Sold", "Unit": "Count"}, {"Name": "Left"}],
    }
    return json.dumps({"_aws": {"Timestamp": 1_772_334_000_000, "CloudWatchMetrics": [directive]}, **values})


def test_each_metric_and_dimension_set_is_a_datum() -> None:
    found = embedded(line(Kind="book", Sold=3, Left=[1, 2]))

    assert [(namespace, datum["MetricName"], datum["Dimensions"]) for namespace, datum in found] == [
        ("Shop", "Sold", [{"Name": "Kind", "Value": "book"}]),
        ("Shop", "Sold", []),
        ("Shop", "Left", [{"Name": "Kind", "Value": "book"}]),
        ("Shop", "Left", []),
    ]
    assert found[0][1]["Value"] == 3
    assert found[2][1]["Values"] == [1, 2]
    assert found[0][1]["Unit"] == "Count"
    assert found[0][1]["Timestamp"] == datetime(2026, 3, 1, 3, 0, tzinfo=UTC).replace(tzinfo=None)


def test_a_metric_without_a_value_is_left_out() -> None:
    assert {datum["MetricName"] for _, datum in embedded(line(Sold=1))} == {"Sold"}


@pytest.mark.parametrize("text", ["", "plain", "{}", '{"a": 1}', '{"_aws": 1}', '{"_aws": ', "{_aws"])
def test_any_other_line_has_no_metrics(text: str) -> None:
    assert embedded(text) == []
