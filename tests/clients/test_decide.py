"""What a user imports to ask for decisions: requests are signed, faults of the platform never hold up a page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from clients import decide as client
from domain.experiment.decision import Decision
from domain.ingest.contract import check
from domain.serve.refusal import InvalidRequest
from lambdas.experiment import decide as function
from tests.lambdas.experiment.conftest import Service, service

__all__ = ["service"]


@dataclass
class Front:
    """The function behind HTTP, or a status in its place."""

    url: str = ""
    status: int = 0
    signed: list[str] = field(default_factory=list)


@pytest.fixture
def front(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    monkeypatch.setattr(client, "SECONDS", 120.0)  # nothing here depends on a machine's speed
    found = Front()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.signed.append(self.headers["Authorization"])
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            event = {"requestContext": {"http": {"method": "POST"}}, "body": text}
            said: dict[str, Any] = (
                {"statusCode": found.status, "body": "{}"} if found.status else function.handler(event, None)
            )
            self.send_response(said["statusCode"])
            self.end_headers()
            self.wfile.write(said["body"].encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/"
    client._session.cache_clear()
    client.client.cache_clear()
    yield found
    server.shutdown()
    server.server_close()
    client._session.cache_clear()
    client.client.cache_clear()


def test_a_decision_is_asked_for_with_a_signature(front: Front) -> None:
    found = client.decide("ranking", "u-1", {"country": "DE"}, url=front.url)

    assert (found.experiment, found.unit, found.reason) == ("ranking", "u-1", "assigned")
    assert found == client.decide("ranking", "u-1", url=front.url)
    assert all(said.startswith("AWS4-HMAC-SHA256 ") for said in front.signed)


def test_a_wrong_request_raises_with_its_field(front: Front) -> None:
    with pytest.raises(InvalidRequest, match="experiment: is not declared; send one of") as refusal:
        client.decide("none", "u-1", url=front.url)

    assert refusal.value.status == 404


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_platform_that_fails_leaves_the_control(front: Front, status: int) -> None:
    front.status = status

    found = client.decide("ranking", "u-1", url=front.url)

    assert (found.arm, found.decision_id, found.reason) == ("popular", None, "unavailable")


def test_a_platform_that_cannot_be_reached_leaves_the_control(front: Front) -> None:
    assert client.decide("ranking", "u-1", url="http://127.0.0.1:9/").reason == "unavailable"
    with pytest.raises(InvalidRequest, match="ask for one of"):
        client.decide("none", "u-1", url="http://127.0.0.1:9/")


def test_a_refusal_that_is_not_ours_is_raised_as_it_is(front: Front) -> None:
    front.status = 403  # as of a signature that AWS does not take

    with pytest.raises(client.HTTPError, match="403"):
        client.decide("ranking", "u-1", url=front.url)


def test_a_reward_keeps_its_contract_and_is_one_event_however_often_it_is_told(front: Front, service: Service) -> None:
    decision = client.decide("ranking", "u-1", url=front.url)
    for name in ("", "", "second order"):
        client.rewarded(decision, 1.0, name, stream=service.stream)

    told = [event for event in service.exposures() if event["event"] == "reward"]

    assert len(told) == 3
    assert len({event["event_id"] for event in told}) == 2
    for event in told:
        assert check(json.dumps(event).encode(), datetime.now(timezone.utc)).event == "reward"


def test_who_is_not_part_of_it_has_nothing_to_tell(service: Service) -> None:
    outside = Decision(
        experiment="ranking", unit="u-1", arm="popular", propensity=1.0, decision_id=None, reason="held_out"
    )

    client.rewarded(outside, 1.0, stream=service.stream)

    assert service.exposures() == []
