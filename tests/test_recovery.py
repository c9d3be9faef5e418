"""Redrive and account as deployed: their roles, layers and settings fit what they do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from clients.operations import account, redrive
from clients.operations.functions import CannotBeDone, call
from tests.platform import Platform

pytestmark = pytest.mark.slow


def test_what_is_set_aside_is_judged_and_not_sent_in_a_dry_run(platform: Platform) -> None:
    told = redrive.redrive(call, "any", None, None, dry=True)

    assert (told["good"], told["sent"], told["more"]) == ({}, {}, False)


def test_a_reason_that_nobody_knows_is_refused_with_those_there_are(platform: Platform) -> None:
    with pytest.raises(CannotBeDone, match=r"reason is 'not_jsn': write one of .*not_json.*failed_batch, any"):
        redrive.redrive(call, "not_jsn", None, None, dry=True)


def test_a_day_without_records_adds_up_and_one_that_is_not_over_cannot_be_proved(platform: Platform) -> None:
    today = datetime.now(timezone.utc).date()
    proof = account.account(call, (today - timedelta(days=2)).isoformat())

    assert proof["balanced"]
    assert all(shard["receipts"] == 0 for shard in proof["shards"])
    with pytest.raises(CannotBeDone, match="it is not over"):
        account.account(call, today.isoformat())
