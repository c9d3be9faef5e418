"""What an operator types, and reads."""

from __future__ import annotations

from typing import Any

import pytest

from clients.operations import account, redrive, replay
from clients.operations.__main__ import main
from clients.operations.functions import CannotBeDone


def told(**changed: Any) -> dict[str, Any]:
    """Answer as the function does."""
    whole = {"good": {}, "still_bad": {}, "redriven_before": {}, "sent": {}, "failed": 0, "lost": [], "more": False}
    return {**whole, "sending": True, **changed}


def test_a_redrive_goes_on_until_nothing_is_left_and_sums_what_was_sent() -> None:
    answers = [told(sent={"not_json": 2}, good={"not_json": 2}, more=True), told(sent={"not_json": 1}, more=False)]
    asked = []

    def call(function: str, **event: Any) -> dict[str, Any]:
        asked.append((function, event))
        return answers.pop(0)

    done = redrive.redrive(call, "not_json", "2026-03-01", None, dry=False)

    assert (
        asked
        == [
            ("rivermill-redrive", {"reason": "not_json", "from": "2026-03-01", "to": None, "send": True}),
        ]
        * 2
    )
    assert done["sent"] == {"not_json": 3}
    assert redrive.succeeded(done)


@pytest.mark.parametrize(
    "left", [{"failed": 1}, {"more": True}, {"lost": [{"shard": "s", "first": "1", "last": "2", "lost": 2}]}]
)
def test_a_redrive_that_left_something_says_so_and_does_not_succeed(left: dict[str, Any]) -> None:
    said = "\n".join(redrive.lines(told(**left)))

    assert not redrive.succeeded(told(**left))
    assert any(words in said for words in ("did not take 1", "redrive again", "no longer holds 2 records of s"))


def test_a_replay_is_waited_for_and_its_account_told() -> None:
    run = {"run": "replay-x", "job_run": "jr"}
    events = {"rating": {"rows": 3, "shadow_rows": 4, "lost": 0, "added": 1, "changed": 0, "doubled": 0}}
    events["rating"] |= {"days": ["2026-03-01"], "equal": False}  # type: ignore[dict-item]  # as JSON has it
    ended = {"state": "SUCCEEDED", "account": {"events": events, "refused": [], "swapped": []}, **run}
    answers: list[dict[str, Any]] = [{"state": "STARTING", **run}, {"state": "RUNNING", **run}, ended]
    pauses: list[float] = []

    done = replay.replay(lambda _, **__: answers.pop(0), {"from": "2026-03-01"}, sleep=pauses.append)

    said = list(replay.lines(done))
    assert len(pauses) == 2
    assert said[1].split() == ["rating", "3", "4", "0", "1", "0", "0"]
    assert "checksums differ on 2026-03-01" in said[2]
    assert said[-1].startswith("not swapped")


def test_a_replay_that_failed_is_told_with_its_cause() -> None:
    failed: dict[str, Any] = {"state": "FAILED", "error": "out of memory", "run": "replay-x", "job_run": "jr"}

    with pytest.raises(CannotBeDone, match="ended as FAILED: out of memory"):
        replay.replay(lambda _, **__: failed, {})


def test_an_account_names_every_gap() -> None:
    proof = {
        "day": "2026-03-01",
        "balanced": False,
        "shards": [dict.fromkeys(account.COLUMNS, 0) | {"shard": "shardId-000000000000", "received": 1_000}],
        "curated": {"rating": {"distinct": 5, "missing": 1, "doubled": 0}},
        "gaps": [{"said": "rows missing: s/shardId-000000000000: raw.rating: 2 rows expected, 0 found"}],
    }

    said = "\n".join(account.lines(proof))

    assert "1,000" in said
    assert "GAP  rows missing: s/shardId-000000000000" in said
    assert said.endswith("1 gaps: see docs/operations.md")


def test_a_switch_that_is_neither_on_nor_left_out_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["redrive", "--reason", "any", "--dry-run", "yes"]) == 2

    assert capsys.readouterr().err == "rivermill: dry_run is 'yes': write on, or leave it out\n"


@pytest.mark.parametrize(
    "given", [["redrive", "--reason", "bad_json"], ["replay", "--from", "2026-03-01"], ["account"]]
)
@pytest.mark.usefixtures("without_credentials")
def test_who_cannot_reach_aws_is_told_so_in_a_line(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == 2
    assert capsys.readouterr().err.startswith("rivermill: AWS cannot be asked: Unable to locate credentials")
