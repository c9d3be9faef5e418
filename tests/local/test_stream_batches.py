"""What follows when a batch fails; pages are of the AWS Lambda Developer Guide (docs.aws.amazon.com/lambda/)."""

from __future__ import annotations

import json
from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.events.models import EventPattern

from local.stream_batches import Item, Part, Rules, after_failure, expired, first_failure, lane, matches


def items(count: int) -> list[Item]:
    return [Item(number, f"s{number}", number * 1000, b"{}") for number in range(1, count + 1)]


def deliver_all(count: int, poison: set[int], rules: Rules) -> tuple[list[int], list[int], int]:
    """Deliver to a function that fails where a poison record is; return handled, discarded, and invocations."""
    pending, handled, discarded, invocations = deque([Part(items(count))]), [], [], 0
    while pending:
        part = pending.popleft()
        invocations += 1
        if not poison & {item.number for item in part.items}:
            handled += [item.number for item in part.items]
            continue
        following = after_failure(part, 0, rules)
        if not following:
            discarded += [item.number for item in part.items]
        pending.extendleft(reversed(following))
    return handled, discarded, invocations


@given(st.integers(1, 60), st.sets(st.integers(1, 60), max_size=5), st.integers(0, 3))
def test_bisecting_discards_the_poison_records_and_only_those_in_order(
    count: int, poison: set[int], retries: int
) -> None:
    """kinesis-on-failure-destination.html, "Error handling"."""
    poison = {number for number in poison if number <= count}
    handled, discarded, _ = deliver_all(count, poison, Rules(bisect=True, retries=retries))

    assert discarded == sorted(poison)
    assert handled == [number for number in range(1, count + 1) if number not in poison]


def test_without_bisecting_the_whole_batch_is_retried_and_discarded() -> None:
    """kinesis-on-failure-destination.html: MaximumRetryAttempts."""
    assert deliver_all(10, {4}, Rules(retries=2)) == ([], list(range(1, 11)), 3)


def test_bisecting_uses_up_no_retries() -> None:
    """kinesis-on-failure-destination.html: splitting does not consume the retry quota."""
    assert deliver_all(2, {2}, Rules(bisect=True, retries=3))[2] == 1 + 1 + 4


def test_without_a_limit_of_retries_a_batch_is_tried_for_ever() -> None:
    """services-kinesis-parameters.html: MaximumRetryAttempts, -1."""
    part = Part(items(1))
    for turn in range(1, 50):
        [part] = after_failure(part, 0, Rules())
        assert part.failures == turn


def test_after_a_partial_failure_delivery_goes_on_at_the_first_failed_record() -> None:
    """services-kinesis-batchfailurereporting.html, "Bisecting a batch": at the sequence number returned."""
    [part] = after_failure(Part(items(5), failures=2), 3, Rules(bisect=True, retries=2))

    assert [item.number for item in part.items] == [4, 5]
    assert part.failures == 0


def test_the_lowest_sequence_number_of_a_partial_failure_counts() -> None:
    """services-kinesis-batchfailurereporting.html, "Report syntax", its note."""
    answer = json.dumps({"batchItemFailures": [{"itemIdentifier": "s4"}, {"itemIdentifier": "s2"}]}).encode()

    assert first_failure(items(5), answer) == 1


@pytest.mark.parametrize("answer", ["null", "{}", '{"batchItemFailures": []}', '{"batchItemFailures": null}'])
def test_an_answer_without_failures_is_complete_success(answer: str) -> None:
    """services-kinesis-batchfailurereporting.html, "Success and failure conditions"."""
    assert first_failure(items(3), answer.encode()) is None


@pytest.mark.parametrize(
    "identifier",
    ['{"itemIdentifier": ""}', '{"itemIdentifier": null}', '{"wrong": "s2"}', '{"itemIdentifier": "s9"}', '"s2"'],
)
def test_a_malformed_identifier_fails_the_whole_batch(identifier: str) -> None:
    """services-kinesis-batchfailurereporting.html, "Success and failure conditions"."""
    assert first_failure(items(3), f'{{"batchItemFailures": [{identifier}]}}'.encode()) == 0


def test_records_past_the_age_or_the_retention_are_expired() -> None:
    """services-kinesis-parameters.html: MaximumRecordAgeInSeconds, -1 and the stream's retention."""
    batch = items(10)  # arrived at seconds 1 to 10

    assert expired(batch, Rules(most_age_seconds=60), 86_400, now=64.5) == 4
    assert expired(batch, Rules(), 60, now=64.5) == 4
    assert expired(batch, Rules(), 86_400, now=64.5) == 0
    assert expired(batch, Rules(most_age_seconds=60), 86_400, now=1000) == 10


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1), st.integers(1, 10))
def test_a_partition_key_is_always_in_the_same_lane(keys: list[str], lanes: int) -> None:
    """with-kinesis.html: ParallelizationFactor, in order at the partition-key level."""
    assert all(lane(key, lanes) == lane(key, lanes) in range(lanes) for key in keys)


def test_partition_keys_spread_over_the_lanes() -> None:
    counts = Counter(lane(f"user-{number}", 10) for number in range(10_000))

    assert min(counts.values()) > 800


def test_a_record_passes_a_filter_by_its_data_or_its_key() -> None:
    """with-kinesis-filtering.html."""
    purchases = EventPattern.load('{"data": {"event": ["purchase"], "amount": [{"numeric": [">", 10]}]}}')
    users = EventPattern.load('{"partitionKey": [{"prefix": "vip-"}]}')
    large, small, broken = b'{"event": "purchase", "amount": 20}', b'{"event": "purchase", "amount": 5}', b"not json"

    assert matches([purchases], {}, large)
    assert not matches([purchases], {}, small)
    assert not matches([purchases], {}, broken)
    assert matches([purchases, users], {"partitionKey": "vip-1"}, broken)
    assert matches([], {}, broken)


def test_what_a_mapping_does_not_say_has_the_defaults_of_the_guide() -> None:
    """services-kinesis-parameters.html, its column of defaults."""
    assert Rules() == Rules(100, 0.0, 1, -1, -1, False, False, None)


@pytest.mark.parametrize("failed_at", [1, 2, 4])
def test_a_partial_failure_splits_where_it_says_and_not_in_the_middle(failed_at: int) -> None:
    """services-kinesis-batchfailurereporting.html, "Bisecting a batch": only the remaining records are tried again."""
    found = after_failure(Part(items(5)), failed_at, Rules(bisect=True, partial=True))

    assert [[item.number for item in part.items] for part in found] == [list(range(failed_at + 1, 6))]
