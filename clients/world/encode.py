"""Write events as the JSON that producers send, one object each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from clients.world.catalogue import CATEGORIES, CURRENCY, PAGES, PER_CATEGORY, QUERIES, Catalogue
from clients.world.events import Events
from clients.world.nature import COUNTRIES, Experiment
from clients.world.purchase import Ints
from clients.world.visits import KINDS
from domain.events import DEVICES

Rows = Iterator[dict[str, Any]]
REFERRER = "https://search.example/"


def event_ids(random: np.random.Generator, times: Ints) -> list[str]:
    """Name events as UUIDs of version 7 (RFC 9562): the time in ms, then 74 random bits."""
    high = random.integers(0, 1 << 12, times.size).tolist()
    low = random.integers(0, 1 << 62, times.size).tolist()
    return [
        f"{(text := f'{time:012x}')[:8]}-{text[8:]}-7{a:03x}-{(tail := f'{(1 << 63) | b:016x}')[:4]}-{tail[4:]}"
        for time, a, b in zip(times.tolist(), high, low, strict=True)
    ]


def encode(
    events: Events, ids: list[str], users: list[str], catalogue: Catalogue, experiment: Experiment
) -> list[bytes]:
    """Encode every event; `users` holds the id of each event's user."""
    stamps = np.datetime_as_string(events.time.astype("datetime64[ms]"), unit="ms").tolist()
    payloads: list[bytes] = [b""] * len(ids)
    to_json = msgspec.json.Encoder().encode
    for kind, name in enumerate(KINDS):
        rows = np.flatnonzero(events.kind == kind)
        for row, fields in zip(rows.tolist(), _FIELDS[name](events, rows, catalogue, experiment), strict=True):
            head = {"event": name, "event_id": ids[row], "event_time": f"{stamps[row]}Z", "user_id": users[row]}
            payloads[row] = to_json(head | fields)
    return payloads


def _page_view(events: Events, rows: Ints, _: Catalogue, __: Experiment) -> Rows:
    countries = [country.code for country in COUNTRIES]
    columns = (events.page, events.device, events.country, events.referred)
    for page, device, country, referred in _lists(columns, rows):
        fields = {"page": PAGES[page], "device": DEVICES[device], "country": countries[country]}
        yield fields | {"referrer": REFERRER} if referred else fields


def _search(events: Events, rows: Ints, _: Catalogue, __: Experiment) -> Rows:
    for query, results in _lists((events.query, events.results), rows):
        yield {"query": QUERIES[query], "results": results}


def _product_view(events: Events, rows: Ints, catalogue: Catalogue, _: Experiment) -> Rows:
    for product, price in _lists((events.product, catalogue.prices[events.product]), rows):
        category = CATEGORIES[product // PER_CATEGORY]
        yield {"product_id": catalogue.ids[product], "category": category, "price": price}


def _add_to_cart(events: Events, rows: Ints, catalogue: Catalogue, _: Experiment) -> Rows:
    columns = (events.product, events.quantity, catalogue.prices[events.product])
    for product, quantity, price in _lists(columns, rows):
        yield {"product_id": catalogue.ids[product], "quantity": quantity, "price": price}


def _purchase(events: Events, rows: Ints, _: Catalogue, __: Experiment) -> Rows:
    for order, items, amount in _lists((events.order, events.items, events.amount), rows):
        yield {"order_id": f"o-{order:08d}", "items": items, "amount": amount, "currency": CURRENCY}


def _rating(events: Events, rows: Ints, catalogue: Catalogue, _: Experiment) -> Rows:
    for product, stars in _lists((events.product, events.stars), rows):
        yield {"product_id": catalogue.ids[product], "stars": stars}


def _exposure(events: Events, rows: Ints, _: Catalogue, experiment: Experiment) -> Rows:
    for (arm,) in _lists((events.arm,), rows):
        yield {"experiment": experiment.name, "arm": experiment.arms[arm], "propensity": 0.5}


def _reward(events: Events, rows: Ints, _: Catalogue, experiment: Experiment) -> Rows:
    for (arm,) in _lists((events.arm,), rows):
        yield {"experiment": experiment.name, "arm": experiment.arms[arm], "value": 1.0}


def _lists(columns: tuple[Any, ...], rows: Ints) -> Iterator[tuple[Any, ...]]:
    return zip(*(column[rows].tolist() for column in columns), strict=True)


_FIELDS: dict[str, Callable[[Events, Ints, Catalogue, Experiment], Rows]] = {
    "page_view": _page_view,
    "search": _search,
    "product_view": _product_view,
    "add_to_cart": _add_to_cart,
    "purchase": _purchase,
    "rating": _rating,
    "exposure": _exposure,
    "reward": _reward,
}
