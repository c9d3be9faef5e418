"""The page of a demo, opened in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from demo.page import render, write_page
from tests.demo.evidence import any_evidence

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
ALONE = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture
def browser_page() -> Iterator[tuple[Page, list[str]]]:
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome on PATH; on Debian: apt-get install chromium")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ALONE)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _refuse_network(request.url, complaints))
        yield page, complaints
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("report", [any_evidence()["report"], None], ids=["a model", "nothing to train on"])
def test_the_page_opens_without_error_network_or_broken_picture(
    browser_page: tuple[Page, list[str]], tmp_path: Path, report: Any
) -> None:
    page, complaints = browser_page
    written = write_page(any_evidence(report=report), tmp_path)

    page.goto(written.as_uri())
    broken = page.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)")

    assert page.evaluate("document.images.length") == (10 if report else 6)
    assert broken == []
    assert complaints == []


@pytest.mark.slow
def test_a_missing_picture_is_noticed(browser_page: tuple[Page, list[str]], tmp_path: Path) -> None:
    page, _ = browser_page
    written = write_page(any_evidence(), tmp_path)
    (tmp_path / "pictures" / "roc.svg").unlink()

    page.goto(written.as_uri())

    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 1


@pytest.mark.slow
def test_a_narrow_window_shows_a_long_address_whole(browser_page: tuple[Page, list[str]], tmp_path: Path) -> None:
    page, _ = browser_page
    evidence = any_evidence()
    evidence["tables"][0]["location"] = f"s3://{'bucket' * 12}/raw/page_view"
    page.set_viewport_size({"width": 420, "height": 900})

    page.goto(write_page(evidence, tmp_path).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    beyond = "[...document.querySelectorAll('p code, li code')].filter(c => c.getBoundingClientRect().right > 420)"

    assert page.evaluate(f"{beyond}.map(c => c.textContent)") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 420


def test_text_from_outside_is_escaped() -> None:
    evidence = any_evidence(run="<script>alert(1)</script>")

    assert "<script>" not in render(evidence, [])


def test_files_with_their_size_and_late_events_are_told() -> None:
    page = render(any_evidence(), [])

    assert "<b>120</b><span>data files landed</span><i>of 40 KiB on average</i>" in page
    assert "1,234 came late" in page


def test_a_broken_claim_stands_on_the_page() -> None:
    broken = {"claim": "nothing is lost", "figure": "1 lost", "holds": False}

    assert "BROKEN" in render(any_evidence(claims=[broken]), [])


def test_the_reasons_of_a_refusal_stand_on_the_page() -> None:
    refused = {"status": "Refused", "reasons": ["only 12 rows"]}

    assert "only 12 rows" in render(any_evidence(outcome=refused, report=None), [])


def test_the_evidence_is_json() -> None:
    assert json.loads(json.dumps(any_evidence()))


def _refuse_network(url: str, complaints: list[str]) -> None:
    if not url.startswith(("file:", "data:")):
        complaints.append(f"asked the network for {url}")
