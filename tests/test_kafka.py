"""The same platform on Kafka, deployed: the REST front, redrive and experiments reach a real broker by the bridge."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any
from urllib.error import HTTPError

import pytest
from confluent_kafka import Consumer, TopicPartition

from clients.decide import Decision, decide, reward
from clients.operations.functions import call
from clients.operations.redrive import redrive
from demo.account import Account
from demo.lake import output_of
from demo.laptop import Laptop
from domain.experiments import RANKING
from domain.ingest.receipts import read_receipt, shard_prefix
from domain.ingest.shards import partition_name
from lambdas.ingest.bucket import Bucket
from stacks import names
from tests import platform as whole
from tests.ingest_contract.test_mapping import chains, files, read
from tests.platform import Platform
from tests.test_experiments import counters, learnt

pytestmark = pytest.mark.slow

STACKS = ("Rivermill-Ingest", "Rivermill-Experiment")  # and the lake, which both need
PATIENCE_SECONDS = 300.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("kafka")
    # Templates go to a folder of their own: another process may be deploying the same checkout.
    with whole.deployed(folder / "cloud", *STACKS, "-c", "broker=kafka", "--output", str(folder / "cdk.out")) as found:
        yield found


def any_event(number: int, stars: int = 5) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    event = {"event": "rating", "event_id": f"e-{number}", "event_time": now, "user_id": f"u-{number % 50}"}
    return {**event, "product_id": "p-1", "stars": stars}


def post(laptop: Laptop, events: list[Any]) -> int:
    """Post events to the front, as a page does: again what was not accepted; return how many were."""
    key = laptop.client("apigateway").get_api_key(apiKey=output_of(laptop, "FrontKeyWeb"), includeValue=True)["value"]
    headers = {"x-api-key": key, "content-type": "application/json"}
    request = urllib.request.Request(
        output_of(laptop, "FrontUrl") + "batch", json.dumps(events).encode(), headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, Any] = json.load(answer)
    except HTTPError as refused:  # nothing is there for certain: functions that only just start
        assert refused.code in {429, 500, 502, 503, 504}, refused.read()
        time.sleep(1)
        return post(laptop, events)
    assert not [each for each in told["failed"] if not each["again"]]
    again = [events[each["index"]] for each in told["failed"]]
    return int(told["accepted"]) + (post(laptop, again) if again else 0)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.5)


def landed(stage: Platform, table: str) -> Counter[str]:
    """Count the rows of each event that receipts name for a table; what was posted again stands there twice."""
    bucket = lake(stage)
    receipts = [receipt for chain in chains(bucket, names.STREAM) for receipt in chain]
    return Counter(str(row["event_id"]) for key in files(receipts, table) for row in read(bucket, key))


def settled(stage: Platform) -> Account:
    """Sum the receipts that there are."""
    account = Account()
    account.update(stage.laptop.client("s3"), stage.bucket)
    return account


def lake(stage: Platform) -> Bucket:
    return Bucket(stage.laptop.client("s3"), stage.bucket)


def test_what_is_posted_to_the_front_lands_or_is_set_aside(stage: Platform) -> None:
    good, bad = [any_event(number) for number in range(200)], [any_event(200, stars=9), "no event"]

    accepted = post(stage.laptop, [*good, *bad])
    until(lambda: len(landed(stage, "raw.rating")) == len(good) and settled(stage).settled >= accepted)
    account = settled(stage)

    assert accepted == len(good) + len(bad)
    assert landed(stage, "raw.rating").keys() == {event["event_id"] for event in good}
    assert account.quarantined.keys() == {"out_of_bounds", "not_an_object"}
    assert account.balanced


def test_an_exposure_is_logged_and_its_reward_is_learned_from(stage: Platform) -> None:
    laptop, known = stage.laptop, counters(stage.laptop)
    url = output_of(laptop, "DecideUrl")
    decisions: dict[str, Decision] = {}

    def exposed() -> bool:
        """Ask as a page does that is opened again: what was not logged by functions that only just start, is now."""
        found = [decide(RANKING.name, f"x-{number}", url=url) for number in range(10)]
        decisions.update({each.decision_id: each for each in found if each.decision_id})
        return len(decisions) == len(found) and decisions.keys() <= landed(stage, "raw.exposure").keys()

    until(exposed)
    post(laptop, [reward(decision, 1.0) for decision in decisions.values()])
    counted = learnt(laptop, known, len(decisions))

    assert sum(rewards for rewards, _ in counted.values()) == len(decisions)


def test_a_batch_that_was_given_up_is_read_from_the_topic_and_sent_again(stage: Platform) -> None:
    laptop = stage.laptop
    [mapping] = laptop.client("lambda").list_event_source_mappings(FunctionName=names.CONSUME)["EventSourceMappings"]
    posted = [any_event(1_000 + number) for number in range(20)]
    turn(laptop, mapping["UUID"], on=False)
    post(laptop, posted)
    given_up = give_up(stage)

    told = redrive(call, "failed_batch", None, None, False)
    turn(laptop, mapping["UUID"], on=True)

    assert given_up >= len(posted)
    assert (told["sent"], told["failed"], told["lost"]) == ({"failed_batch": given_up}, 0, [])
    assert redrive(call, "failed_batch", None, None, False)["sent"] == {}
    until(lambda: all(landed(stage, "raw.rating")[event["event_id"]] >= 2 for event in posted))  # event_id makes it one


def turn(laptop: Laptop, mapping: str, *, on: bool) -> None:
    """Let the mapping read on, or stop."""
    functions = laptop.client("lambda")
    functions.update_event_source_mapping(UUID=mapping, Enabled=on)
    until(lambda: functions.get_event_source_mapping(UUID=mapping)["State"] == ("Enabled" if on else "Disabled"))


def give_up(stage: Platform) -> int:
    """Leave the message that Lambda leaves of a batch: all that the topic holds and no receipt covers."""
    laptop = stage.laptop
    cluster, bucket = output_of(laptop, "Cluster"), lake(stage)
    address = laptop.client("kafka").get_bootstrap_brokers(ClusterArn=cluster)["BootstrapBrokerString"]
    reading = Consumer({"bootstrap.servers": address, "group.id": "test"})
    places: dict[str, dict[str, str]] = {}
    records = 0
    for number in sorted(reading.list_topics(names.STREAM, timeout=30).topics[names.STREAM].partitions):
        _, end = reading.get_watermark_offsets(TopicPartition(names.STREAM, number), timeout=30)
        covered = reached(bucket, partition_name(cluster, number))
        if covered < end:
            places[f"{names.STREAM}-{number}"] = {"firstRecordOffset": str(covered), "lastRecordOffset": str(end - 1)}
            records += end - covered
    reading.close()
    info = {"batchSize": records, "eventSourceArn": cluster, "bootstrapServers": address, "recordsInfo": places}
    queue = laptop.client("sqs").get_queue_url(QueueName=names.FAILED_BATCHES)["QueueUrl"]
    laptop.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps({"KafkaBatchInfo": info}))
    return records


def reached(bucket: Bucket, shard: str) -> int:
    """Say how far receipts cover a partition."""
    newest = next(iter(bucket.keys(shard_prefix(names.STREAM, shard))), None)
    return read_receipt(bucket.get(newest)).last if newest else 0
