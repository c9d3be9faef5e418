"""The scaler against the laptop cloud: a hot stream is split, once, and nobody's records are lost or out of order."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from domain.ingest.scaling import Change, Decision
from lambdas.ingest import scale
from local.cloud import Cloud
from local.tally import tally
from tests.local.builders import any_name, lag, make_stream, map_stream, recording_function, until, whole_lines

KEYS = 40
HEAVY = 60_000  # of 40 at once a shard cannot take all, however slow the machine
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def stream(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stream of one shard that the scaler is set to."""
    name, bucket = make_stream(cloud), any_name("scaled")
    cloud.client("s3").create_bucket(Bucket=bucket)
    told = {"BUCKET": bucket, "STREAM": name, "FLOOR": "1", "CEILING": "8"}
    for variable, value in {**cloud.environment(), **told}.items():
        monkeypatch.setenv(variable, value)
    forget()
    yield name
    forget()


def forget() -> None:
    scale.settings.cache_clear()
    scale.client.cache_clear()


def look(cloud: Cloud) -> dict[str, Any]:
    """Run the scaler, once CloudWatch knows all that has happened."""
    tally(cloud).flush()
    return scale.handler({}, None)


class Sender:
    """Sends numbered records of each key in order, and again what was refused."""

    def __init__(self, cloud: Cloud, stream: str) -> None:
        self._kinesis, self._stream = cloud.client("kinesis"), stream
        self.sent: dict[str, list[str]] = defaultdict(list)
        self.refused = 0

    def send(self, rounds: int, size: int = 900) -> None:
        for _ in range(rounds):
            for key in map(str, range(KEYS)):
                self.sent[key].append(f"{key}:{len(self.sent[key])}")
            wanted = [{"Data": texts[-1].ljust(size).encode(), "PartitionKey": key} for key, texts in self.sent.items()]
            while wanted:
                answer = self._kinesis.put_records(StreamName=self._stream, Records=wanted)
                wanted = [record for record, put in zip(wanted, answer["Records"], strict=True) if "ErrorCode" in put]
                self.refused += len(wanted)
                time.sleep(0.02 if wanted else 0)


def delivered(notes: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in whole_lines(notes):
        for record in json.loads(line)["records"]:
            found[record["key"]].append(record["data"].rstrip())
    return found


def open_shards(cloud: Cloud, stream: str) -> int:
    described = cloud.client("kinesis").describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    return int(described["OpenShardCount"])


@pytest.mark.slow
def test_a_hot_shard_is_split_and_every_record_arrives_once_and_in_the_order_of_its_key(
    cloud: Cloud, stream: str, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    mapping = map_stream(cloud, stream, recording_function(cloud, notes, "time.sleep(0.05)"), BatchSize=500)
    sender = Sender(cloud, stream)

    sender.send(1, HEAVY)
    sender.send(60)
    answer = look(cloud)
    sender.send(60)
    again = look(cloud)

    assert sender.refused > 0
    assert (answer["shards"], answer["target"]) == (1, 2)
    assert open_shards(cloud, stream) == again["shards"] == 2
    until(lambda: lag(cloud, mapping) == 0)
    until(lambda: sum(map(len, delivered(notes).values())) >= 120 * KEYS)
    assert delivered(notes) == sender.sent


def test_a_change_is_written_down_and_a_new_process_finds_it(cloud: Cloud, stream: str) -> None:
    first = scale.change(NOW, 1, Decision(2, "hot"), 0)
    forget()

    assert first.target == 2
    assert scale.log(scale.bucket()) == [(0, Change(NOW, 1, 2))]


def test_the_last_ten_changes_are_read_oldest_first(cloud: Cloud, stream: str) -> None:
    for number in range(12):
        body = {"at": (NOW + timedelta(hours=number)).isoformat(), "before": 1, "after": 2, "skewed": number == 11}
        scale.bucket().put(scale.key_of(number), json.dumps(body).encode())

    found = scale.log(scale.bucket())

    assert [number for number, _ in found] == list(range(2, 12))
    assert found[-1] == (11, Change(NOW + timedelta(hours=11), 1, 2, skewed=True))


def test_of_two_scalers_only_one_makes_the_change(cloud: Cloud, stream: str) -> None:
    first, second = (scale.change(NOW, 1, Decision(2, "hot"), 0) for _ in range(2))

    assert (first.target, second.target) == (2, None)
    assert second.reason == "another scaler was faster"
    assert len(list(scale.bucket().keys(scale.ROOT))) == 1


def test_a_change_that_kinesis_refuses_counts_all_the_same(cloud: Cloud, stream: str) -> None:
    """People change shards too: the service's own count is what binds."""
    for turn in range(10):
        cloud.client("kinesis").update_shard_count(
            StreamName=stream, TargetShardCount=2 - turn % 2, ScalingType="UNIFORM_SCALING"
        )

    refused = scale.change(NOW, 1, Decision(2, "hot"), 0)

    assert (refused.target, refused.starved) == (None, True)
    assert refused.reason.startswith("LimitExceededException")
    assert len(scale.log(scale.bucket())) == 1


def test_a_stream_without_load_is_left_at_its_floor(cloud: Cloud, stream: str) -> None:
    assert look(cloud) == {"shards": 1, "target": None, "reason": "at the floor"}


def test_what_cloudwatch_cannot_tell_is_not_taken_for_silence(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    partly = {"Id": "bytes", "Label": "IncomingBytes Sum", "StatusCode": "InternalError"}
    broken = SimpleNamespace(get_metric_data=lambda **_: {"MetricDataResults": [partly]})
    monkeypatch.setattr(scale, "client", cache(lambda _: broken))

    with pytest.raises(scale.MetricsUnavailable, match="IncomingBytes Sum only in part"):
        scale.loads(NOW, timedelta(minutes=90))
