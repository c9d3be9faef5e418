"""Count what happens; once a second CloudWatch is told, in one datum a minute, so that its memory stays small."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from moto.cloudwatch.models import MetricAggregatedDatum, cloudwatch_backends

from local.cloud import Cloud

Key = tuple[str, str, tuple[tuple[str, str], ...], str]  # namespace, metric, dimensions, unit


class Tally:
    """Sums of metric values since the last flush; safe between threads."""

    def __init__(self, cloud: Cloud, seconds: float = 1.0) -> None:
        self._cloud = cloud
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sums: dict[Key, list[float]] = {}
        self._minutes: dict[Key, tuple[int, MetricAggregatedDatum]] = {}
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def add(self, namespace: str, unit: str, dimensions: Mapping[str, str], values: Mapping[str, float]) -> None:
        """Count one value of each metric named in `values`."""
        named = tuple(dimensions.items())
        with self._lock:
            for metric, value in values.items():
                known = self._sums.setdefault((namespace, metric, named, unit), [0.0, value, value, 0.0])
                known[0] += value
                known[1] = min(known[1], value)
                known[2] = max(known[2], value)
                known[3] += 1

    def flush(self) -> None:
        """Hand over what was counted."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for key, (total, least, most, count) in sums.items():
            datum = self._of_this_minute(key, least)
            datum.sum += total
            datum.min, datum.max = min(datum.min, least), max(datum.max, most)
            datum.sample_count += count

    def _of_this_minute(self, key: Key, least: float) -> MetricAggregatedDatum:
        """Return the datum that holds this minute's sums; metrics are read by the minute, and kept for ever."""
        minute = int(time.time() // 60)
        known = self._minutes.get(key)
        if known and known[0] == minute:
            return known[1]
        namespace, metric, dimensions, unit = key
        statistics = {"Sum": 0.0, "Minimum": least, "Maximum": least, "SampleCount": 0.0}
        put(self._cloud, namespace, [_datum(metric, dimensions, unit, StatisticValues=statistics)])
        data = cloudwatch_backends[self._cloud.account][self._cloud.region].metric_data
        made = next(one for one in reversed(data) if one.name == metric and one.namespace == namespace)
        self._minutes[key] = (minute, made)
        return made

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            self.flush()


def _datum(metric: str, dimensions: Iterable[tuple[str, str]], unit: str, **value: Any) -> dict[str, Any]:
    named = [{"Name": name, "Value": text} for name, text in dimensions]
    return {"MetricName": metric, "Dimensions": named, "Unit": unit, **value}


def put(cloud: Cloud, namespace: str, data: list[dict[str, Any]]) -> None:
    """Put metric data as PutMetricData does."""
    cloudwatch_backends[cloud.account][cloud.region].put_metric_data(namespace, data)


@functools.cache
def tally(cloud: Cloud) -> Tally:
    """Return the tally of a cloud, made once."""
    return Tally(cloud)
