"""Make millions of shoppers' events as Arrow tables, a hundred times faster than one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.contract.arrow import arrow_schema
from domain.events import DEVICES, EVENTS
from domain.ingest import frames

KINDS = {"page_view": 0.40, "product_view": 0.34, "search": 0.12, "add_to_cart": 0.10, "purchase": 0.04}
EVENTS_A_SESSION = 12.0
SESSIONS_A_USER = 6.0
SECONDS_BETWEEN = 25.0
PAGES, PRODUCTS, CATEGORIES, QUERIES, COUNTRIES = 2_000, 20_000, 60, 5_000, 40
WORDS = ("trail", "road", "winter", "kids", "women", "sale", "shoes", "jackets", "bags", "outlet", "new", "men")
SOURCES = ("newsletter", "search", "display", "social", "partner", "affiliate")
PARAMETERS = ("source", "medium", "campaign", "content", "term")
REFERRED_PARAMETERS, KEPT_PARAMETERS = 16, 8  # about 480 and 300 characters, as addresses of campaigns have
HEX_OF_UUID = 32
DASHES = (8, 12, 16, 20)
SCHEMAS = {name: arrow_schema(EVENTS[name].columns()) for name in KINDS}

Numbers = Any  # a numpy array


@dataclass(frozen=True)  # no slots: its arrays are large, and it is made once
class Clicks:
    """Who did what kind of thing when, in the order in which it happened; times are microseconds since the epoch."""

    time: Numbers
    user: Numbers
    session: Numbers
    kind: Numbers

    def __len__(self) -> int:
        return len(self.time)

    def tables(self, rows: slice | Numbers, chance: np.random.Generator) -> Iterator[tuple[str, pa.Table]]:
        """Spell some events out, each kind in a table of its own."""
        time, user, session, kind = self.time[rows], self.user[rows], self.session[rows], self.kind[rows]
        for number, name in enumerate(KINDS):
            mine = kind == number
            if mine.any():
                yield name, spelt(name, time[mine], user[mine], session[mine], chance)


def clicks(seed: int, events: int, start: datetime, seconds: float) -> Clicks:
    """Let users come and go for so long: sessions begin evenly, and each goes on at a shopper's pace."""
    chance = np.random.default_rng(seed)
    sessions = int(events / EVENTS_A_SESSION * 1.1) + 10
    lengths = chance.geometric(1 / EVENTS_A_SESSION, sessions)
    users = chance.integers(0, max(1, int(sessions / SESSIONS_A_USER)), sessions)
    pauses = chance.exponential(SECONDS_BETWEEN, lengths.sum())
    first = np.cumsum(lengths) - lengths
    since = np.cumsum(pauses)
    since -= np.repeat(since[first], lengths)
    moments = (np.repeat(chance.random(sessions) * seconds, lengths) + since) % seconds
    order = np.argsort(moments)[:events]
    kinds = chance.choice(len(KINDS), len(order), p=list(KINDS.values())).astype(np.uint8)
    micros = int(start.timestamp() * 1e6) + (moments[order] * 1e6).astype(np.int64)
    session = np.repeat(np.arange(sessions, dtype=np.int32), lengths)[order]
    return Clicks(micros // 1000 * 1000, users[session].astype(np.int32), session, kinds)


def spelt(name: str, time: Numbers, user: Numbers, session: Numbers, chance: np.random.Generator) -> pa.Table:
    """Spell events of one kind out.

    What a user has (device, country), a session (its campaign) and a product (its price) stays the same.
    """
    columns = {
        "event_id": uuids(len(time), chance),
        "event_time": pa.array(time, pa.timestamp("us", tz="UTC")),
        "user_id": named("u-{:07d}", user),
        **_FIELDS[name](user, session, chance),
    }
    schema = SCHEMAS[name]
    return pa.Table.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)


def uuids(count: int, chance: np.random.Generator) -> pa.Array:
    """Name as many things, as random UUIDs are written."""
    digits = np.frombuffer(chance.bytes(count * HEX_OF_UUID // 2).hex().encode(), "S1").reshape(count, HEX_OF_UUID)
    dashed = np.insert(digits, DASHES, b"-", axis=1)
    width = dashed.shape[1]
    offsets = np.arange(count + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(dashed)))


def named(pattern: str, numbers: Numbers) -> pa.Array:
    """Name things by their numbers."""
    known, places = np.unique(numbers, return_inverse=True)
    return pa.array([pattern.format(number) for number in known.tolist()]).take(pa.array(places))


def often(most: int, count: int, chance: np.random.Generator) -> Numbers:
    """Pick among so many things, few of them often and many seldom."""
    return np.minimum(chance.zipf(1.2, count) - 1, most - 1)


def words(prefix: str, numbers: Numbers) -> pa.Array:
    """Spell numbers as words of a shop."""
    known, places = np.unique(numbers, return_inverse=True)
    texts = [f"{prefix}{WORDS[n % 12]}{'/' if prefix else ' '}{WORDS[n // 12 % 12]}-{n}" for n in known.tolist()]
    return pa.array(texts).take(pa.array(places))


@lru_cache(1 << 17)
def campaign(session: int) -> tuple[str, str]:
    """Write the parameters that a shop carries from page to page of a session, and the address that led to it.

    A shop of one page, as most are now, leaves `document.referrer` as it was at the start.
    """
    digest = blake2b(session.to_bytes(8, "big")).digest()
    click = digest[:16].hex()
    said = [f"utm_{PARAMETERS[n % 5]}={SOURCES[n % 6]}-{WORDS[n % 12]}-{WORDS[n // 12 % 12]}" for n in digest[16:32]]
    kept = "&".join([f"click={click}", *said[:KEPT_PARAMETERS]])
    return kept, f"https://ads.example/click/{'&'.join([f'?click={click}', *said[:REFERRED_PARAMETERS]])}"


def _page_view(user: Numbers, session: Numbers, chance: np.random.Generator) -> dict[str, pa.Array]:
    came, places = np.unique(session, return_inverse=True)
    kept, referrer = (
        pa.array(texts).take(pa.array(places)) for texts in zip(*map(campaign, came.tolist()), strict=True)
    )
    return {
        "page": pc.binary_join_element_wise(words("/", often(PAGES, len(user), chance)), kept, "?"),
        "device": pa.array(DEVICES).take(pa.array(user % 7 % 3)),
        "country": named("{:02d}", 10 + user % COUNTRIES),
        "referrer": referrer,
    }


def _search(user: Numbers, _: Numbers, chance: np.random.Generator) -> dict[str, pa.Array]:
    query = often(QUERIES, len(user), chance)
    return {"query": words("", query), "results": pa.array(query * 7919 % 200)}


def _product(user: Numbers, _: Numbers, chance: np.random.Generator) -> dict[str, pa.Array]:
    product = often(PRODUCTS, len(user), chance)
    return {
        "product_id": named("p-{:05d}", product),
        "category": named("category-{:02d}", product % CATEGORIES),
        "price": pa.array(500 + product * 7919 % 20_000).cast(pa.float64()),
        "quantity": pa.array(chance.geometric(0.7, len(user))),
    }


def _purchase(user: Numbers, _: Numbers, chance: np.random.Generator) -> dict[str, pa.Array]:
    count = len(user)
    return {
        "order_id": uuids(count, chance),
        "items": pa.array(chance.geometric(0.5, count)),
        "amount": pa.array(np.round(chance.lognormal(4, 0.8, count), 2)),
        "currency": pa.array(["EUR"] * count),
    }


_FIELDS = {
    "page_view": _page_view,
    "search": _search,
    "product_view": _product,
    "add_to_cart": _product,
    "purchase": _purchase,
}


def framed(name: str, rows: pa.Table) -> bytes:
    """Pack events of one kind into a columnar frame, as the producer does."""
    said = {"event": name, "version": str(EVENTS[name].version)}
    plain = rows.replace_schema_metadata(said)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as stream:
        stream.write_table(plain)
    return frames.pack("arrow", sink.getvalue().to_pybytes(), len(rows))


def morning() -> datetime:
    """Find the beginning of today (UTC)."""
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
