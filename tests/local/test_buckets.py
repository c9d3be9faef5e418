from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from local.buckets import Bucket


@given(st.floats(1, 1000), st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate_and_one_second_of_burst(
    rate: float, steps: list[tuple[float, float]]
) -> None:
    now, given_out = 0.0, 0.0
    bucket = Bucket(rate, lambda: now)
    for pause, share in steps:
        now += pause
        amount = share * rate
        if bucket.holds(amount):
            bucket.take(amount)
            given_out += amount

        assert given_out <= rate * (now + 1) * (1 + 1e-9)


def test_what_is_larger_than_a_second_s_worth_needs_a_full_bucket_and_is_paid_back() -> None:
    now = 0.0
    bucket = Bucket(10.0, lambda: now)

    assert bucket.holds(25)
    bucket.take(25)
    now = 1.6
    assert not bucket.holds(5)
    now = 2.1
    assert bucket.holds(5)
