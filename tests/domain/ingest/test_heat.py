"""Hot keys: what is said of a key's weight holds against an exact count, and only hot keys are named."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ingest.heat import COOL, HOT, WINDOW_SECONDS, HotKey, SpaceSaving, Watch, weigh

WEIGHTS = st.dictionaries(st.text("abcdefghij", max_size=2), st.floats(0.001, 100), max_size=40)


@given(st.lists(WEIGHTS, max_size=20), st.integers(1, 12))
def test_a_key_s_true_weight_lies_within_the_bounds_said(batches: list[dict[str, float]], counters: int) -> None:
    summary, exact = SpaceSaving(counters), Counter[str]()
    for batch in batches:
        summary.add(batch)
        exact.update(batch)

    found = {key: (weight, error) for key, weight, error in summary.heaviest(0.0)}
    slack = 1e-9 * (1 + exact.total())
    assert len(found) <= counters
    assert summary.total == pytest.approx(exact.total())
    assert summary.light <= exact.total() / (2 * counters) + slack
    for key, (weight, error) in found.items():
        assert weight - error - slack <= exact[key] <= weight + summary.light + slack
        assert error <= exact.total() / counters + slack
    for key, weight in exact.items():
        assert key in found or weight <= exact.total() * 1.5 / counters + slack


def batch(hot: float, rate: int, chance: Random, size: int = 400) -> tuple[list[str], list[int]]:
    """A second of a shard: so many records, a share of them of one key, the others of anybody."""
    keys = ["hot" if chance.random() < hot else f"user-{chance.randrange(100_000)}" for _ in range(rate)]
    return keys, [size] * rate


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("share", "named"), [(0.0, []), (0.4, []), (0.6, ["hot"])])
def test_a_key_is_named_if_it_takes_half_a_shard_for_a_minute(share: float, named: list[str], seed: int) -> None:
    chance, watch, found = Random(seed), Watch(), None
    for second in range(int(WINDOW_SECONDS) + 1):
        assert found is None
        found = watch.see(weigh(*batch(share, 1_000, chance)), float(second), second + 0.99)

    assert found is not None
    assert [each.key for each in found] == named
    assert all(abs(each.share - share) < 0.05 for each in found)


def test_bytes_make_a_key_hot_as_well_as_records() -> None:
    watch = Watch()
    for second in range(61):
        keys, sizes = ["photo", *(f"user-{number}" for number in range(99))], [700_000, *[100] * 99]
        found = watch.see(weigh(keys, sizes), float(second), float(second))

    assert found is not None
    assert [each.key for each in found] == ["photo"]


def test_a_quiet_stream_of_one_key_is_not_hot() -> None:
    watch = Watch()
    found = [watch.see(weigh(["only"] * 10, [100] * 10), float(second), float(second)) for second in range(0, 600, 10)]

    assert [each for each in found if each] == []
    assert sum(each is not None for each in found) == 8


def test_each_window_begins_anew() -> None:
    watch = Watch()
    hot = watch.see(weigh(["key"] * 60_000, [100] * 60_000), 0.0, 60.0)
    cool = watch.see(weigh(["key"] * 600, [100] * 600), 61.0, 130.0)

    assert [each.key for each in hot or []] == ["key"]
    assert cool == []


@given(st.floats(HOT, 20))
def test_the_suffixes_proposed_cool_the_key_and_one_fewer_would_not(share: float) -> None:
    hot = HotKey("any", share, 60.0)

    assert share / hot.suffixes <= COOL
    assert hot.suffixes == 2 or share / (hot.suffixes - 1) > COOL
    assert f"salt with {hot.suffixes} suffixes" in hot.proposal


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1_000_000)), max_size=50))
def test_a_batch_weighs_what_its_records_or_bytes_ask_of_a_shard(records: list[tuple[str, int]]) -> None:
    found = weigh([key for key, _ in records], [size for _, size in records])

    for name, weight in found.items():
        sizes = [size for key, size in records if key == name]
        assert weight == max(len(sizes) / 1_000, sum(sizes) / 1_000_000)
    assert found.keys() == {key for key, _ in records}
