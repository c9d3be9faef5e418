"""Write events as the JSON that producers send, one object each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from clients.world.catalogue import CATEGORIES, CURRENCY, PAGES, PER_CATEGORY, QUERIES, Catalogue
from clients.world.events import Events
from clients.world.nature import COUNTRIES, Trial
from clients.world.purchase import Ints
from clients.world.visits import EXPOSURE, KINDS
from domain.events import DEVICES
from domain.experiment.decision import decision_id, effective

Rows = Iterator[dict[str, Any]]
REFERRER = "https://search.example/"


def event_ids(random: np.random.Generator, events: Events, users: list[str], trials: Sequence[Trial]) -> list[str]:
    """Name events as UUIDs of version 7 (RFC 9562): the time in ms, then 74 random bits; exposures as decisions are."""
    high = random.integers(0, 1 << 12, events.time.size).tolist()
    low = random.integers(0, 1 << 62, events.time.size).tolist()
    ids = [
        f"{(text := f'{time:012x}')[:8]}-{text[8:]}-7{a:03x}-{(tail := f'{(1 << 63) | b:016x}')[:4]}-{tail[4:]}"
        for time, a, b in zip(events.time.tolist(), high, low, strict=True)
    ]
    rows = np.flatnonzero(events.kind == EXPOSURE)
    for row, trial, arm in zip(rows.tolist(), events.trial[rows].tolist(), events.arm[rows].tolist(), strict=True):
        experiment = trials[trial].experiment
        ids[row] = decision_id(experiment.name, users[row], experiment.arms[arm].name)
    return ids


def encode(
    events: Events, ids: list[str], users: list[str], catalogue: Catalogue, trials: Sequence[Trial]
) -> list[bytes]:
    """Encode every event; `users` holds the id of each event's user."""
    stamps = np.datetime_as_string(events.time.astype("datetime64[ms]"), unit="ms").tolist()
    payloads: list[bytes] = [b""] * len(ids)
    to_json = msgspec.json.Encoder().encode
    for kind, name in enumerate(KINDS):
        rows = np.flatnonzero(events.kind == kind)
        for row, fields in zip(rows.tolist(), _FIELDS[name](events, rows, catalogue, trials), strict=True):
            head = {"event": name, "event_id": ids[row], "event_time": f"{stamps[row]}Z", "user_id": users[row]}
            payloads[row] = to_json(head | fields)
    return payloads


def _page_view(events: Events, rows: Ints, _: Catalogue, __: Sequence[Trial]) -> Rows:
    countries = [country.code for country in COUNTRIES]
    columns = (events.page, events.device, events.country, events.referred)
    for page, device, country, referred in _lists(columns, rows):
        fields = {"page": PAGES[page], "device": DEVICES[device], "country": countries[country]}
        yield fields | {"referrer": REFERRER} if referred else fields


def _search(events: Events, rows: Ints, _: Catalogue, __: Sequence[Trial]) -> Rows:
    for query, results in _lists((events.query, events.results), rows):
        yield {"query": QUERIES[query], "results": results}


def _product_view(events: Events, rows: Ints, catalogue: Catalogue, _: Sequence[Trial]) -> Rows:
    for product, price in _lists((events.product, catalogue.prices[events.product]), rows):
        category = CATEGORIES[product // PER_CATEGORY]
        yield {"product_id": catalogue.ids[product], "category": category, "price": price}


def _add_to_cart(events: Events, rows: Ints, catalogue: Catalogue, _: Sequence[Trial]) -> Rows:
    columns = (events.product, events.quantity, catalogue.prices[events.product])
    for product, quantity, price in _lists(columns, rows):
        yield {"product_id": catalogue.ids[product], "quantity": quantity, "price": price}


def _purchase(events: Events, rows: Ints, _: Catalogue, __: Sequence[Trial]) -> Rows:
    for order, items, amount in _lists((events.order, events.items, events.amount), rows):
        yield {"order_id": f"o-{order:08d}", "items": items, "amount": amount, "currency": CURRENCY}


def _rating(events: Events, rows: Ints, catalogue: Catalogue, _: Sequence[Trial]) -> Rows:
    for product, stars in _lists((events.product, events.stars), rows):
        yield {"product_id": catalogue.ids[product], "stars": stars}


def _exposure(events: Events, rows: Ints, _: Catalogue, trials: Sequence[Trial]) -> Rows:
    shares = [effective(trial.experiment, None) for trial in trials]
    for trial, place in _lists((events.trial, events.arm), rows):
        experiment = trials[trial].experiment
        arm = experiment.arms[place].name
        yield {"experiment": experiment.name, "arm": arm, "propensity": shares[trial][arm]}


def _lists(columns: tuple[Any, ...], rows: Ints) -> Iterator[tuple[Any, ...]]:
    return zip(*(column[rows].tolist() for column in columns), strict=True)


_FIELDS: dict[str, Callable[[Events, Ints, Catalogue, Sequence[Trial]], Rows]] = {
    "page_view": _page_view,
    "search": _search,
    "product_view": _product_view,
    "add_to_cart": _add_to_cart,
    "purchase": _purchase,
    "rating": _rating,
    "exposure": _exposure,
}
