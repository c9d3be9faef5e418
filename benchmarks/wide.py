"""An event of about 1 KB in 46 small values, as clickstreams have them; the platform does not know it, benchmarks do.

Import this before any module that lays events out: they do so once, when they are imported.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, ClassVar

from domain.events import EVENTS, Event
from domain.schema import Field

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
BROWSERS = ("Chrome", "Safari", "Firefox", "Edge", "Samsung Internet")
SYSTEMS = ("Windows", "macOS", "iOS", "Android", "Linux")
COUNTRIES = ("DE", "FR", "US", "GB", "NL", "ES", "IT", "PL")
CITIES = ("Berlin", "Paris", "Austin", "Leeds", "Utrecht", "Sevilla", "Torino", "Gdansk", "Lyon", "Bremen")
WORDS = ("shoes", "jackets", "trail", "road", "winter", "sale", "new", "kids", "women", "men", "bags", "outlet")
SOURCES = ("newsletter", "search", "display", "social", "partner", "affiliate")
ACTIONS = ("view", "click", "scroll", "hover", "submit")

Text = Annotated[str, Field("A name.", max_length=256)]
OptionalText = Annotated[str | None, Field("A name, if there is one.", max_length=256)]
Number = Annotated[int, Field("A count.", minimum=0)]
OptionalNumber = Annotated[int | None, Field("A count, if there is one.", minimum=0)]
Share = Annotated[float, Field("A share.", minimum=0, maximum=1)]
Degrees = Annotated[float, Field("An angle.", minimum=-180, maximum=180)]
Flag = Annotated[bool, Field("Whether it was so.")]


class Interaction(Event):
    """A user did something on a page."""

    name: ClassVar[str] = "interaction"

    session_id: Text
    action: Annotated[str, Field("What was done.", choices=ACTIONS)]
    number: Number
    page: Text
    title: Text
    section: Text
    app_version: Text
    locale: Annotated[str, Field("Language and country.", min_length=2, max_length=16)]
    timezone: Text
    browser: Text
    browser_version: Text
    system: Text
    system_version: Text
    device: Annotated[str, Field("Kind of device.", choices=("desktop", "mobile", "tablet"))]
    screen_width: Number
    screen_height: Number
    pixel_ratio: Annotated[float, Field("Pixels of the device for one of the page.", above=0, maximum=8)]
    touch: Flag
    dark: Flag
    country: Annotated[str, Field("ISO 3166-1 alpha-2 code.", min_length=2, max_length=2)]
    region: Text
    city: Text
    latitude: Degrees
    longitude: Degrees
    address_hash: Text
    connection: Text
    latency_ms: Number
    load_ms: Number
    scroll_depth: Share
    x: Number
    y: Number
    element: Text
    logged_in: Flag
    consent: Flag
    variant: Text
    score: Share
    tenure_days: Number
    basket_items: Number
    basket_value: Annotated[float, Field("What is in the basket.", minimum=0)]
    currency: Annotated[str, Field("ISO 4217 code.", min_length=3, max_length=3)]
    campaign: OptionalText = None
    source: OptionalText = None
    position: OptionalNumber = None


EVENTS[Interaction.name] = Interaction


def any_interactions(count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Make interactions of some users."""
    return [any_interaction(number, chance) for number in range(count)]


def any_interaction(number: int, chance: random.Random) -> dict[str, Any]:
    """Make one interaction; half of them came by a campaign."""
    moment = NOON - timedelta(milliseconds=chance.randrange(3_600_000))
    event = {
        "event": "interaction",
        "event_id": f"{chance.getrandbits(128):032x}",
        "event_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "user_id": f"u-{chance.randrange(100_000)}",
        "session_id": f"s-{chance.randrange(300_000)}",
        "action": chance.choice(ACTIONS),
        "number": chance.randrange(200),
        **where_on_the_site(chance),
        **with_what(chance),
        **from_where(chance),
        **how_it_went(chance),
    }
    if chance.random() < 0.5:
        event |= {"campaign": f"{chance.choice(WORDS)}-{chance.choice(WORDS)}", "source": chance.choice(SOURCES)}
        event["position"] = chance.randrange(40)
    return event


def where_on_the_site(chance: random.Random) -> dict[str, Any]:
    """Say on what page it happened."""
    section, word = chance.choice(WORDS), chance.choice(WORDS)
    return {
        "page": f"/{section}/{word}/{chance.randrange(5_000)}",
        "title": f"{word.title()} for {section}",
        "section": section,
        "app_version": f"7.{chance.randrange(12)}.{chance.randrange(9)}",
        "locale": chance.choice(("de-DE", "fr-FR", "en-US", "en-GB", "nl-NL")),
        "timezone": chance.choice(("Europe/Berlin", "Europe/Paris", "America/Chicago", "Europe/London")),
    }


def with_what(chance: random.Random) -> dict[str, Any]:
    """Say with what device it was done."""
    width, height = chance.choice(((1920, 1080), (390, 844), (1440, 900), (820, 1180)))
    return {
        "browser": chance.choice(BROWSERS),
        "browser_version": f"{chance.randrange(100, 140)}.0.{chance.randrange(7_000)}",
        "system": chance.choice(SYSTEMS),
        "system_version": f"{chance.randrange(10, 18)}.{chance.randrange(7)}",
        "device": chance.choice(("desktop", "mobile", "tablet")),
        "screen_width": width,
        "screen_height": height,
        "pixel_ratio": chance.choice((1.0, 1.5, 2.0, 3.0)),
        "touch": chance.random() < 0.5,
        "dark": chance.random() < 0.3,
    }


def from_where(chance: random.Random) -> dict[str, Any]:
    """Say from where it came."""
    return {
        "country": chance.choice(COUNTRIES),
        "region": f"R{chance.randrange(90)}",
        "city": chance.choice(CITIES),
        "latitude": round(chance.uniform(36, 60), 2),
        "longitude": round(chance.uniform(-10, 25), 2),
        "address_hash": f"{chance.randrange(50_000):08x}",
        "connection": chance.choice(("4g", "5g", "wifi", "ethernet")),
        "latency_ms": chance.randrange(400),
    }


def how_it_went(chance: random.Random) -> dict[str, Any]:
    """Say how it went, and for whom."""
    return {
        "load_ms": chance.randrange(100, 6_000),
        "scroll_depth": round(chance.random(), 2),
        "x": chance.randrange(1920),
        "y": chance.randrange(4_000),
        "element": f"{chance.choice(WORDS)}-button",
        "logged_in": chance.random() < 0.4,
        "consent": chance.random() < 0.8,
        "variant": chance.choice("ABCD"),
        "score": round(chance.random(), 4),
        "tenure_days": chance.randrange(3_000),
        "basket_items": chance.randrange(9),
        "basket_value": round(chance.uniform(0, 300), 2),
        "currency": chance.choice(("EUR", "USD", "GBP")),
    }
