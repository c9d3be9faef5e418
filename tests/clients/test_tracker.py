"""The tracker in a real browser, before a real front: what a page did arrives once, whatever happens in between."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import rjsmin
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from domain.ingest.contract import check
from local.api_gateway.front import rest_apis
from local.cloud import Cloud
from stacks.names import STREAM
from tests.front import CONFIG, Front, deployed
from tests.local.builders import any_name, control, until

FOLDER = Path(__file__).parents[2] / "clients" / "tracker"
SOURCE, SERVED = FOLDER / "tracker.js", FOLDER / "tracker.min.js"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
ALONE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SECONDS = 120.0


def test_what_is_served_is_made_of_the_source() -> None:
    made = rjsmin.jsmin(SOURCE.read_text())

    assert SERVED.read_text() == made, f"python -m rjsmin < {SOURCE.name} > {SERVED.name}"


def test_what_is_served_is_under_3_kb() -> None:
    assert SERVED.stat().st_size < 3 * 1024


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on a port of the loopback, as `http://localhost`, whose pages the front allows."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()


class Site(NamedTuple):
    """A site's address and the folder of its pages."""

    address: str
    folder: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on PATH; on Debian: apt-get install chromium")
    folder = tmp_path_factory.mktemp("site")
    with serving(folder) as address:
        yield Site(address, folder)


@pytest.fixture(scope="module")
def front(cloud: Cloud, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A front that pages of the site may post to; they have its address and the key of a client."""
    config = replace(CONFIG, front_origins=(site.address,))
    with deployed(cloud, tmp_path_factory.mktemp("front"), config) as found:
        shutil.copy(SERVED, site.folder)
        for page in ("index", "other"):
            (site.folder / f"{page}.html").write_text(
                f'<!doctype html><title>{page}</title><script src="tracker.min.js" data-country="DE" '
                f'data-url="{found.url}" data-key="{found.keys["web"]}"></script>'
            )
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=ALONE, timeout=SECONDS * 1000)
        yield found
        found.close()


@pytest.fixture
def visitor(site: Site, browser: Browser) -> Iterator[BrowserContext]:
    """A visitor who was never here."""
    context = browser.new_context(locale="de-DE")
    context.set_default_timeout(SECONDS * 1000)
    yield context
    context.close()


def arrived(front: Front, mark: str) -> Counter[str]:
    """Count the records of the stream that a test marked, by event id; each must keep its contract."""
    found: Counter[str] = Counter()
    for _, data in front.stream():
        event = json.loads(data)
        if mark in {event.get("query"), event.get("page")}:
            check(data, datetime.now(timezone.utc))
            found[event["event_id"]] += 1
    return found


def search(page: Page, mark: str) -> str:
    return str(page.evaluate("mark => rivermill.track('search', { query: mark, results: 3 })", mark))


def kept(page: Page) -> int:
    return int(page.evaluate("Object.keys(localStorage).filter(name => name.startsWith('rivermill:e:')).length"))


def faults(front: Front, *found: dict[str, Any]) -> None:
    control(front.cloud, "/_cloud/faults", list(found))


@pytest.mark.slow
def test_a_page_that_opens_is_a_page_view_that_keeps_its_contract(
    front: Front, site: Site, visitor: BrowserContext
) -> None:
    page = visitor.new_page()
    page.goto(f"{site.address}/other.html")
    until(lambda: arrived(front, "/other.html"), SECONDS)
    [event] = [json.loads(data) for _, data in front.stream() if b"/other.html" in data]

    assert (event["event"], event["device"], event["country"]) == ("page_view", "desktop", "DE")
    assert event["user_id"] == page.evaluate("localStorage['rivermill:user'].split(' ')[0]")
    until(lambda: kept(page) == 0, SECONDS)


@pytest.mark.slow
def test_what_a_page_did_offline_arrives_once_when_it_is_online_again(
    front: Front, site: Site, visitor: BrowserContext
) -> None:
    page, mark, sent = offline(site, visitor, 120)
    page.wait_for_timeout(1500)
    assert not arrived(front, mark)
    visitor.set_offline(False)
    until(lambda: kept(page) == 0, SECONDS)

    assert arrived(front, mark) == Counter(sent)


@pytest.mark.slow
def test_what_a_page_did_offline_arrives_once_though_it_was_closed(
    front: Front, site: Site, visitor: BrowserContext
) -> None:
    page, mark, sent = offline(site, visitor, 30)
    page.close()
    visitor.set_offline(False)
    page = visitor.new_page()
    page.goto(f"{site.address}/other.html")
    until(lambda: kept(page) == 0, SECONDS)

    assert arrived(front, mark) == Counter(sent)


@pytest.mark.slow
def test_what_is_on_its_way_when_a_page_is_reloaded_is_not_lost_and_keeps_its_ids(
    front: Front, site: Site, visitor: BrowserContext
) -> None:
    """It may come twice, since the answer was lost with the page: curated tables take it out by its id."""
    page, mark, sent = offline(site, visitor, 30)
    visitor.set_offline(False)
    page.reload()
    until(lambda: kept(page) == 0, SECONDS)

    assert arrived(front, mark).keys() == set(sent)


def offline(site: Site, visitor: BrowserContext, events: int) -> tuple[Page, str, list[str]]:
    """Open a page, cut it off and let it track events; return it, the mark of the events, and their ids."""
    page, mark = visitor.new_page(), any_name("offline")
    page.goto(f"{site.address}/index.html")
    until(lambda: kept(page) == 0, SECONDS)
    visitor.set_offline(True)
    return page, mark, [search(page, mark) for _ in range(events)]


@pytest.mark.slow
def test_what_a_page_did_before_it_was_closed_arrives(front: Front, site: Site, visitor: BrowserContext) -> None:
    page, mark = visitor.new_page(), any_name("closing")
    page.goto(f"{site.address}/index.html")
    until(lambda: kept(page) == 0, SECONDS)
    sent = {search(page, mark) for _ in range(5)}
    page.goto("about:blank")

    until(lambda: arrived(front, mark).keys() == sent, SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("share", [1.0, 0.5], ids=["whole", "in part"])
@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "InternalFailure"])
def test_what_the_front_refused_is_sent_again_and_arrives_once(
    front: Front, site: Site, visitor: BrowserContext, code: str, share: float
) -> None:
    page, mark, answers = visitor.new_page(), any_name("refused"), list[int]()
    page.on("response", lambda answer: answers.append(answer.status) if "/batch" in answer.url else None)
    page.goto(f"{site.address}/index.html")
    until(lambda: kept(page) == 0, SECONDS)
    faults(front, {"fault": "throttle", "stream": STREAM, "share": share, "code": code, "times": 7, "seed": 5})
    try:
        sent = {search(page, mark) for _ in range(20)}
        until(lambda: arrived(front, mark).keys() == sent, SECONDS)
    finally:
        faults(front)

    until(lambda: kept(page) == 0, SECONDS)
    assert set(arrived(front, mark).values()) == {1}
    assert set(answers) & ({429, 503} if share == 1 else {200})


@pytest.mark.slow
def test_a_client_over_its_rate_sends_again_later(
    front: Front, site: Site, visitor: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, mark, answers, sent = visitor.new_page(), any_name("rate"), list[int](), set[str]()
    page.on("response", lambda answer: answers.append(answer.status) if "/batch" in answer.url else None)
    page.goto(f"{site.address}/index.html")
    until(lambda: kept(page) == 0, SECONDS)
    hold(front, 1)

    def refused() -> bool:
        front.post("events", {})
        sent.add(search(page, mark))
        page.evaluate("rivermill.flush()")
        return 429 in answers

    with monkeypatch.context() as held:
        moment = time.monotonic()
        held.setattr(rest_apis(front.cloud).throttles, "now", lambda: moment)  # no second passes meanwhile
        until(refused, SECONDS)
    hold(front, CONFIG.front_rate)
    until(lambda: kept(page) == 0, SECONDS)

    assert arrived(front, mark) == Counter(sent)


def hold(front: Front, rate: int) -> None:
    """Hold the client of the site to a rate."""
    gateway = front.cloud.client("apigateway")
    [plan] = [plan for plan in gateway.get_usage_plans()["items"] if plan["name"] == "rivermill-front-web"]
    limits = {"rateLimit": rate, "burstLimit": rate}
    patches = [{"op": "replace", "path": f"/throttle/{name}", "value": str(limit)} for name, limit in limits.items()]
    gateway.update_usage_plan(usagePlanId=plan["id"], patchOperations=patches)


@pytest.mark.slow
def test_an_event_that_no_front_takes_does_not_hold_up_the_others(
    front: Front, site: Site, visitor: BrowserContext
) -> None:
    page, mark = visitor.new_page(), any_name("hopeless")
    page.goto(f"{site.address}/index.html")
    page.evaluate("localStorage['rivermill:e:0'] = 'not JSON'")
    sent = {search(page, mark) for _ in range(9)}

    until(lambda: arrived(front, mark).keys() == sent, SECONDS)
    until(lambda: kept(page) == 0, SECONDS)


@pytest.mark.slow
def test_a_page_of_another_origin_cannot_send(front: Front, site: Site, visitor: BrowserContext) -> None:
    page, mark = visitor.new_page(), any_name("stranger")
    page.goto(f"{site.address.replace('localhost', '127.0.0.1')}/index.html")
    search(page, mark)
    page.wait_for_timeout(1500)

    assert not arrived(front, mark)
    assert kept(page) == 2


@pytest.mark.slow
def test_without_storage_events_are_kept_in_memory(front: Front, site: Site, visitor: BrowserContext) -> None:
    page, mark = visitor.new_page(), any_name("private")
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page.goto(f"{site.address}/index.html")
    sent = {search(page, mark) for _ in range(3)}

    until(lambda: arrived(front, mark).keys() == sent, SECONDS)
