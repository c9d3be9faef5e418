from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from domain.experiment import decision
from domain.experiment.decision import decision_id
from domain.experiment.declaration import Arm, Condition, Experiment
from domain.experiments import BUYERS, EXPERIMENTS, RANKING
from domain.ingest.contract import check
from lambdas.experiment import decide
from lambdas.experiment.bandits import Bandits
from lambdas.experiment.decisions import Decisions
from tests.lambdas.experiment.conftest import Service, forget

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SHARES = {"popular": 0.1, "recent": 0.2, "personal": 0.7}


def test_the_answer_names_arm_propensity_decision_and_reason(service: Service) -> None:
    said = service.ask("one_page_checkout", "u-1")

    assert said == {
        "experiment": "one_page_checkout",
        "unit": "u-1",
        "arm": said["arm"],
        "propensity": 0.5,
        "decision": decision_id("one_page_checkout", "u-1", said["arm"]),
        "reason": "assigned",
    }


def test_a_bandit_decides_by_its_declared_shares_until_it_publishes(service: Service) -> None:
    assert {service.ask("ranking", f"u-{n}")["propensity"] for n in range(20)} == {1 / 3}


@pytest.mark.slow
def test_propensities_are_the_published_shares_and_so_are_the_frequencies(service: Service) -> None:
    service.bandits.publish("ranking", SHARES, 0, NOW)

    said = [service.ask("ranking", f"u-{n}") for n in range(300)]

    assert all(each["propensity"] == SHARES[each["arm"]] for each in said)
    seen = Counter(each["arm"] for each in said)
    assert sum((seen[arm] - 300 * share) ** 2 / (300 * share) for arm, share in SHARES.items()) < 13.8  # p = 0.001


def test_the_exposure_is_on_the_stream_once_with_the_propensity_and_keeps_the_contract(service: Service) -> None:
    service.bandits.publish("ranking", SHARES, 0, NOW)

    said = [service.ask("ranking", "u-1") for _ in range(3)]
    forget()  # another process
    said.append(service.ask("ranking", "u-1"))

    exposures = service.exposures()
    assert len(exposures) == 2
    assert exposures[0] == exposures[1]  # so that the second is dropped by its event_id
    found = {name: exposures[0][name] for name in ("event_id", "user_id", "experiment", "arm", "propensity")}
    assert found == {
        "event_id": said[0]["decision"],
        "user_id": "u-1",
        "experiment": "ranking",
        "arm": said[0]["arm"],
        "propensity": said[0]["propensity"],
    }
    assert check(json.dumps(exposures[0]).encode(), datetime.now(timezone.utc)).event == "exposure"
    assert [each["reason"] for each in said] == ["assigned", "assigned", "assigned", "kept"]


def test_a_unit_keeps_its_arm_and_its_propensity_when_shares_change(service: Service) -> None:
    service.bandits.publish("ranking", {"popular": 1.0, "recent": 0.0, "personal": 0.0}, 0, NOW)
    before = service.ask("ranking", "u-1")
    service.bandits.publish("ranking", {"popular": 0.0, "recent": 0.0, "personal": 1.0}, 1, NOW)
    forget()

    after = service.ask("ranking", "u-1")

    assert (before["arm"], before["propensity"]) == (after["arm"], after["propensity"]) == ("popular", 1.0)
    assert service.ask("ranking", "u-2")["arm"] == "personal"


@pytest.mark.slow
def test_a_thousand_first_calls_at_once_give_one_arm(service: Service) -> None:
    """Every process has read other shares, so that each would choose for itself."""
    arms = [arm.name for arm in RANKING.arms]
    table = Decisions(service.decisions.client, service.decisions.table)

    def first(number: int) -> str:
        wanted = decision.decide(RANKING, "u-1", {}, {arms[number % 3]: 1.0})
        kept = table.keep(wanted, datetime.now(timezone.utc))
        return kept.arm if kept else wanted.arm

    with ThreadPoolExecutor(50) as pool:
        given = Counter(pool.map(first, range(1_000)))

    assert len(given) == 1
    assert service.decisions.of([("ranking", "u-1")])["ranking", "u-1"].arm in given


def refuse(operation: str) -> Any:
    raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, operation)


def test_shares_that_cannot_be_read_anew_still_decide_and_it_is_said(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.bandits.publish("ranking", SHARES, 0, NOW)
    service.ask("ranking", "u-1")
    monkeypatch.setattr(decide, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(Bandits, "published", lambda *_: refuse("GetItem"))

    said = service.ask("ranking", "u-2")

    assert (said["reason"], said["propensity"]) == ("stale_weights", SHARES[said["arm"]])
    told = capsys.readouterr().out
    assert '"fallback": "last known weights"' in told
    assert '"DecisionsFallback": 1' in told
    assert len(service.exposures()) == 2  # it was a decision, and is known


def test_shares_that_were_never_read_leave_the_control_and_nothing_is_logged(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bandits, "published", lambda *_: refuse("GetItem"))

    said = service.ask("ranking", "u-1")

    assert (said["arm"], said["decision"], said["reason"]) == ("popular", None, "unavailable")
    assert '"fallback": "control"' in capsys.readouterr().out
    assert service.exposures() == []


CORRUPT = [
    {},
    {"shares": {"M": {"popular": {"N": "0.5"}}}, "version": {"S": "x"}, "at": {"S": "2026-03-01T00:00:00+00:00"}},
    {"shares": {"M": {"popular": {"N": "-1"}, "recent": {"N": "2"}}}, "version": {"N": "1"}, "at": {"S": "2026-03-01"}},
    {"shares": {"M": {"popular": {"N": "7"}}}, "version": {"N": "1"}, "at": {"S": "2026-03-01"}},
    {"shares": {"S": "all"}, "version": {"N": "1"}, "at": {"S": "yesterday"}},
]


@pytest.mark.parametrize("corrupt", CORRUPT, ids=range(len(CORRUPT)))
def test_shares_that_no_learner_wrote_are_not_decided_by_and_it_is_said(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], corrupt: dict[str, Any]
) -> None:
    key = {"experiment": {"S": "ranking"}, "item": {"S": "state"}}
    service.bandits.client.put_item(TableName=service.bandits.table, Item={**key, **corrupt})

    assert service.ask("ranking", "u-1")["reason"] == "unavailable"
    assert "Unreadable: state of 'ranking'" in capsys.readouterr().out
    service.bandits.client.delete_item(TableName=service.bandits.table, Key=key)
    service.bandits.publish("ranking", SHARES, 0, NOW)
    assert service.ask("ranking", "u-1")["reason"] == "assigned"
    monkeypatch.setattr(decide, "FRESH_SECONDS", 0.0)
    service.bandits.client.put_item(TableName=service.bandits.table, Item={**key, **corrupt})
    assert service.ask("ranking", "u-2")["reason"] == "stale_weights"


def test_a_decision_that_nobody_wrote_as_it_stands_is_the_control(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {"unit": {"S": "u-1"}, "item": {"S": "decision/ranking"}, "arm": {"S": "recent"}}
    service.decisions.client.put_item(TableName=service.decisions.table, Item=broken)

    assert service.ask("ranking", "u-1")["reason"] == "unavailable"
    assert "Unreadable: decision/ranking" in capsys.readouterr().out
    assert service.exposures() == []


def test_a_decision_that_cannot_be_kept_is_the_control(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the unit could get one arm now and another one later."""

    def unreachable(*_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(Decisions, "keep", unreachable)

    assert service.ask("ranking", "u-1")["reason"] == "unavailable"
    assert service.ask("one_page_checkout", "u-1")["reason"] == "assigned"  # which needs no table


def test_an_exposure_that_the_stream_does_not_take_is_sent_with_the_next_call(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("STREAM", "no-such-stream")
        decide.settings.cache_clear()
        first = service.ask("ranking", "u-1")
    decide.settings.cache_clear()
    second = service.ask("ranking", "u-1")

    assert first["arm"] == second["arm"]
    assert '"ExposuresLost": 1' in capsys.readouterr().out
    assert [each["event_id"] for each in service.exposures()] == [first["decision"]]


def test_units_that_are_not_part_of_it_get_the_control_and_no_exposure(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    german = Experiment(
        name="german",
        arms=(Arm(name="control"), Arm(name="new")),
        primary=BUYERS,
        eligibility=(Condition(key="country", values=("DE",)),),
        holdout=0.2,
        span=(0.0, 0.5),
    )
    monkeypatch.setitem(EXPERIMENTS, "german", german)

    said = [service.ask("german", f"u-{n}", country="DE" if n % 2 else "FR") for n in range(200)]

    outside = [each for each in said if each["reason"] != "assigned"]
    assert {each["reason"] for each in outside} == {"held_out", "out_of_span", "not_eligible"}
    assert {(each["arm"], each["propensity"], each["decision"]) for each in outside} == {("control", 1.0, None)}
    assert len(service.exposures()) == 200 - len(outside)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ("{", 400, "body"),
        ("[]", 400, "body"),
        ({"experiment": "ranking"}, 400, "unit"),
        ({"experiment": "ranking", "unit": ""}, 400, "unit"),
        ({"experiment": "ranking", "unit": 7}, 400, "unit"),
        ({"experiment": "ranking", "unit": "u" * 129}, 400, "unit"),
        ('{"experiment": "ranking", "unit": "\\ud800"}', 400, "unit"),
        ({"experiment": 7, "unit": "u-1"}, 400, "experiment"),
        ({"experiment": "none", "unit": "u-1"}, 404, "experiment"),
        ({"experiment": "ranking", "unit": "u-1", "context": []}, 400, "context"),
        ({"experiment": "ranking", "unit": "u-1", "context": {"country": 1}}, 400, "context.country"),
        ({"experiment": "ranking", "unit": "u-1", "arm": "recent"}, 400, "arm"),
        ({"experiment": "ranking", "unit": "u-1", "context": None}, 400, "context"),
        ({"experiment": "ranking", "unit": "u-1", "context": {"age": float("nan")}}, 400, "context.age"),
        ({"experiment": "ranking", "unit": "u-1", "context": {"a": {"b": ["c"]}}}, 400, "context.a"),
        ({"experiment": "ranking", "unit": "u" * 10_240}, 400, "unit"),
        ({"experiment": ["ranking"], "unit": "u-1"}, 400, "experiment"),
        ('{"experiment": "ranking", "unit": ' + "9" * 5_000 + "}", 400, "body"),
        ("\x00", 400, "body"),
        (" " * 65_537, 413, "body"),
    ],
    ids=str,
)
def test_a_request_that_breaks_the_contract_is_refused_with_its_field(
    service: Service, body: Any, status: int, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = service.post(body)

    assert (found, said["field"]) == (status, field)
    assert said["fix"]
    assert '"DecisionsRefused": 1' in capsys.readouterr().out
    assert service.exposures() == []


@pytest.mark.parametrize("unit", ["ü", "日本", "🙂" * 128, "a/b", "x\u0000y", " ", "\u202e"])
def test_a_unit_of_any_letters_gets_one_arm(service: Service, unit: str) -> None:
    first, again = service.ask("ranking", unit), service.ask("ranking", unit)

    assert first["unit"] == again["unit"] == unit
    assert first["arm"] == again["arm"]
    assert {each["user_id"] for each in service.exposures()} == {unit}


def test_only_a_post_is_answered(service: Service) -> None:
    assert service.post("", method="GET")[0] == 405


def test_the_process_brings_nothing_heavy_with_it() -> None:
    """Its import takes 31 ms of a processor beside boto3's; numpy's alone takes 83 in the same run."""
    program = "import sys, lambdas.experiment.decide; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "boto3" in found
    assert not {"numpy", "scipy", "pyarrow", "cryptography", "msgspec", "domain.tables", "domain.events"} & set(found)
