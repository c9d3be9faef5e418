"""What is posted to the REST front: on the stream, byte by byte, or refused with a reason."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from domain.ingest.posts import LARGEST_POST, MOST_EVENTS
from local.api_gateway.front import rest_apis
from local.cloud import Cloud
from stacks.constructs.rest_front import burst
from tests.front import CONFIG, ORIGIN, Front, deployed
from tests.local.builders import any_name, control

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def front(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with deployed(cloud, tmp_path_factory.mktemp("front")) as found:
        yield found


def any_event(**changed: Any) -> dict[str, Any]:
    event = {"event": "rating", "event_id": any_name("e"), "event_time": "2026-03-01T12:00:00Z", "user_id": "u-1"}
    return {**event, "product_id": "p-1", "stars": 5, **changed}


def test_an_event_is_put_on_the_stream_byte_by_byte_under_its_user(front: Front) -> None:
    body = json.dumps(any_event(user_id="u-7"), indent=2).encode() + b"\n"
    status, answer, _ = front.post("events", body)

    assert (status, answer) == (200, {"accepted": 1, "failed": []})
    assert ("u-7", body) in front.stream()


def test_each_event_of_a_batch_is_a_record_with_the_bytes_that_were_sent(front: Front) -> None:
    texts = [json.dumps(any_event(user_id=f"u-{n}")) for n in range(3)]
    odd = '{"event": "rating", "event": "twice",  "stars": 5.0e0, "user_id": "u-3"}'
    status, answer, _ = front.post("batch", f"[ {texts[0]},{texts[1]}\n, {texts[2]} , {odd}]".encode())
    found = front.stream()

    assert (status, answer) == (200, {"accepted": 4, "failed": []})
    assert {(f"u-{n}", text.encode()) for n, text in enumerate([*texts, odd])} <= set(found)


def test_what_is_no_event_of_a_batch_goes_on_to_the_quarantine(front: Front) -> None:
    mark = any_name("mark")
    status, _, _ = front.post("batch", ["text " + mark, {"user_id": 7, "mark": mark}])

    assert status == 200
    assert sum(mark.encode() in data for _, data in front.stream()) == 2


NO_KEY: dict[str, str] = {"x-api-key": ""}
TEXT = {"content-type": "text/plain;charset=UTF-8"}  # a beacon's
BAD: dict[str, tuple[str, Any, dict[str, str], int, str]] = {
    "no key": ("events", any_event(), NO_KEY, 401, "x-api-key"),
    "a wrong key": ("events", any_event(), {"x-api-key": "wrong"}, 403, "x-api-key"),
    "no JSON": ("events", b"not JSON", {}, 400, "body"),
    "no number of JSON's": ("batch", b"[NaN]", {}, 400, "body"),
    "no number of JSON's as text": ("batch", b"[NaN]", TEXT, 400, "body"),
    "no body": ("events", b"", {}, 400, "body"),
    "no user": ("events", {"event": "rating", "event_id": "e", "event_time": "t"}, {}, 400, "body"),
    "a number for a user": ("events", any_event(user_id=7), {}, 400, "body"),
    "an empty id": ("events", any_event(event_id=""), {}, 400, "body"),
    "a list where one is asked for": ("events", [any_event()], {}, 400, "body"),
    "one where a list is asked for": ("batch", any_event(), {}, 400, "body"),
    "an empty list": ("batch", [], {}, 400, "body"),
    "too many events": ("batch", [any_event()] * (MOST_EVENTS + 1), {}, 400, "body"),
    "too many events as text": ("batch", [any_event()] * (MOST_EVENTS + 1), TEXT, 413, "body"),
    "no JSON as text": ("events", b'{"event": ', TEXT, 400, "body"),
    "JSON that goes on": ("batch", b"[{}] {}", TEXT, 400, "body"),
    "JSON that is too deep": ("batch", b"[" * 100_000, TEXT, 400, "body"),
    "a body over the limit": ("events", b" " * (LARGEST_POST + 1), TEXT, 413, "body"),
    "a body over the gateway's limit": ("events", b" " * (10 * 1024 * 1024 + 1), {}, 413, "body"),
    "an unknown path": ("event", any_event(), {}, 404, "path"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_wrong_request_is_refused_with_a_reason_in_json_that_a_page_may_read(front: Front, fault: str) -> None:
    path, body, headers, code, field = BAD[fault]
    status, answer, sent = front.post(path, body, **headers, origin=ORIGIN)

    assert status == code
    assert (answer["field"], bool(answer["error"]), bool(answer["fix"])) == (field, True, True)
    assert sent["content-type"] == "application/json"
    assert sent["access-control-allow-origin"] in {"*", ORIGIN}


def test_a_client_over_its_rate_is_refused_and_another_is_not(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    moment, at_once = time.monotonic(), burst(CONFIG.front_rate)
    monkeypatch.setattr(rest_apis(front.cloud).throttles, "now", lambda: moment)  # no token comes back meanwhile
    answers = [front.post("events", any_event(), client="kiosk") for _ in range(at_once + 20)]
    refused = [answer for status, answer, _ in answers if status == 429]

    assert len(refused) == 20
    assert {status for status, _, _ in answers} == {200, 429}
    assert {answer["error"] for answer in refused} == {"is over the rate of this key"}
    assert front.post("events", any_event(), client="web")[0] == 200


def test_the_events_of_a_batch_that_the_stream_refuses_are_named_and_only_these(front: Front) -> None:
    stream = "rivermill-events"
    control(front.cloud, "/_cloud/faults", [{"fault": "throttle", "stream": stream, "share": 0.6, "seed": 3}])
    batch = [any_event(user_id=f"u-{n}") for n in range(20)]
    status, answer, _ = front.post("batch", batch)
    control(front.cloud, "/_cloud/faults", [])
    there = {
        json.loads(data)["event_id"] for _, data in front.stream() if data.startswith(b"{") and b"event_id" in data
    }
    failed = {each["index"] for each in answer["failed"]}

    assert status == 200
    assert 0 < len(failed) < 20
    assert all(each["again"] for each in answer["failed"])
    assert answer["accepted"] == 20 - len(failed)
    assert {n for n, event in enumerate(batch) if event["event_id"] not in there} == failed


def test_a_stream_that_takes_nothing_is_429_and_one_that_fails_is_503(front: Front) -> None:
    codes = {}
    for code in ("ProvisionedThroughputExceededException", "InternalFailure"):
        fault = {"fault": "throttle", "stream": "rivermill-events", "share": 1.0, "code": code}
        control(front.cloud, "/_cloud/faults", [fault])
        status, answer, headers = front.post("batch", [any_event()])
        codes[code] = (status, answer["accepted"], headers["retry-after"])
    control(front.cloud, "/_cloud/faults", [])

    assert codes == {"ProvisionedThroughputExceededException": (429, 0, "1"), "InternalFailure": (503, 0, "1")}


def test_an_event_larger_than_a_record_is_not_sent_and_its_neighbours_are(front: Front) -> None:
    small = any_event()
    status, answer, _ = front.post("batch", [small, any_event(more="x" * 1024 * 1024)])

    assert status == 200
    assert (answer["accepted"], answer["failed"]) == (1, [{"index": 1, "error": "TooLarge", "again": False}])
    assert "1048576 bytes" in answer["fix"]
    assert json.dumps(small).encode() in [data for _, data in front.stream()]


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, ORIGIN), ("https://elsewhere.example", None)])
def test_a_preflight_allows_the_pages_of_the_origins_that_are_named(
    front: Front, origin: str, allowed: str | None
) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    status, _, headers = front.send("OPTIONS", "batch", b"", asked)

    assert status == 204
    assert headers["access-control-allow-origin"] == allowed
    assert "x-api-key" in headers["access-control-allow-headers"]


def test_the_access_log_tells_each_request_and_nothing_of_a_person(front: Front) -> None:
    user = any_name("somebody")
    front.post("events", any_event(user_id=user), **{"user-agent": "Telltale/1.0"})
    front.post("events", any_event(user_id=user), client="wrong")
    group = {"logGroupName": "/aws/apigateway/rivermill-front"}
    lines = [event["message"] for event in front.cloud.client("logs").filter_log_events(**group)["events"]]
    told = [json.loads(line) for line in lines]

    assert {"200", "403"} <= {each["status"] for each in told}
    assert {"INVALID_API_KEY"} <= {each["refused"] for each in told}
    assert not [line for line in lines if user in line or "Telltale" in line or "127.0.0.1" in line]


def test_the_front_answers_at_the_host_of_its_api_too(front: Front) -> None:
    api = front.url.split("/restapis/")[1].split("/")[0]
    request = urllib.request.Request(
        f"{front.cloud.endpoint}/v1/events",
        json.dumps(any_event()).encode(),
        {"x-api-key": front.keys["web"], "content-type": "application/json", "host": f"{api}.execute-api.localhost"},
    )
    with urllib.request.urlopen(request) as answer:
        front.accepted.append(json.load(answer)["accepted"])

    assert front.accepted[-1] == 1


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_bytes_that_are_no_text_and_digits_without_end_are_passed_on(front: Front, kind: str) -> None:
    text = json.dumps(any_event(user_id="?", more=0))[:-2] + "7" * 5_000 + "}"
    status, _, _ = front.post("events", text.encode().replace(b"?", b"\xff"), **{"content-type": kind})

    assert status == 200
    assert text.replace("?", "\ufffd").encode() in [data for _, data in front.stream()]


def test_the_stream_holds_what_was_accepted_and_nothing_else(front: Front) -> None:
    """It comes last: what every test before was told."""
    assert len(front.stream()) == sum(front.accepted) > 0
