"""What happens a thousand times a minute is one number of CloudWatch."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from moto.cloudwatch.models import cloudwatch_backends

from local.cloud import Cloud
from local.tally import tally
from tests.local.builders import any_name


@pytest.mark.slow
def test_a_minute_of_counts_is_one_datum_with_its_sum_least_and_most(cloud: Cloud) -> None:
    backend, metric, minutes = cloudwatch_backends[cloud.account][cloud.region], "", {0, 1}
    while len(minutes) > 1:  # until all of it falls into one minute
        metric, minutes = any_name("Metric"), {int(time.time() // 60)}
        for value in (3.0, 1.0, 7.0):
            tally(cloud).add("Any", "Count", {"Kind": "book"}, {metric: value})
            tally(cloud).flush()
        minutes.add(int(time.time() // 60))

    kept = [datum for datum in backend.metric_data if datum.name == metric]
    assert [(datum.sum, datum.min, datum.max, datum.sample_count) for datum in kept] == [(11.0, 1.0, 7.0, 3.0)]


def test_counts_are_read_back_by_the_client(cloud: Cloud) -> None:
    metric, now = any_name("Metric"), datetime.now(UTC)

    tally(cloud).add("Any", "Count", {"Kind": "a"}, {metric: 2.0})
    tally(cloud).add("Any", "Count", {"Kind": "b"}, {metric: 5.0})
    tally(cloud).flush()

    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="Any",
        MetricName=metric,
        Dimensions=[{"Name": "Kind", "Value": "b"}],
        StartTime=now - timedelta(minutes=2),
        EndTime=now + timedelta(minutes=2),
        Period=600,
        Statistics=["Sum"],
    )
    assert [point["Sum"] for point in found["Datapoints"]] == [5.0]
