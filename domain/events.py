"""The events that enter the platform.  To add one, write its class and list it in EVENTS."""

# Annotations are no text here, as they would be by `from __future__`: a consumer that starts would parse each.
from datetime import datetime
from typing import Annotated, ClassVar

from domain.schema import Field, Privacy, Record, Treatment

DEVICES = ("desktop", "mobile", "tablet")


class Event(Record):
    """Something that a person did or saw, at a moment.

    >>> [column.name for column in Event.columns()]
    ['event_id', 'event_time', 'user_id']
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    subject: ClassVar[str] = "user_id"
    time: ClassVar[str] = "event_time"
    by_user: ClassVar[bool] = True  # else the platform's own doing, which is in no session

    event_id: Annotated[
        str,
        Field(
            "Names this occurrence; a producer that sends it again repeats it.",
            min_length=1,
            max_length=128,
            privacy=Privacy.PLAIN,
        ),
    ]
    event_time: Annotated[datetime, Field("When it happened, RFC 3339 with an offset.", privacy=Privacy.PLAIN)]
    user_id: Annotated[
        str,
        Field(
            "Whose event it is.",
            min_length=1,
            max_length=128,
            privacy=Privacy.IDENTIFIER,
            treatment=Treatment.TOKENIZE,
            domain="user",
        ),
    ]


class PageView(Event):
    """A user opened a page."""

    name: ClassVar[str] = "page_view"

    page: Annotated[str, Field("Path of the page.", min_length=1, max_length=2048, privacy=Privacy.PLAIN)]
    device: Annotated[str, Field("Kind of device.", choices=DEVICES, privacy=Privacy.QUASI_IDENTIFIER)]
    country: Annotated[
        str,
        Field(
            "ISO 3166-1 alpha-2 code.",
            min_length=2,
            max_length=2,
            privacy=Privacy.QUASI_IDENTIFIER,
            treatment=Treatment.GENERALIZE,
        ),
    ]
    referrer: Annotated[str | None, Field("URL that led here.", max_length=2048, privacy=Privacy.PLAIN)] = None


class Search(Event):
    """A user searched the catalogue."""

    name: ClassVar[str] = "search"

    query: Annotated[
        str, Field("What was typed.", max_length=512, privacy=Privacy.SENSITIVE, treatment=Treatment.SHRED)
    ]
    results: Annotated[int, Field("How many products were found.", minimum=0, privacy=Privacy.PLAIN)]


class ProductView(Event):
    """A user looked at a product."""

    name: ClassVar[str] = "product_view"

    product_id: Annotated[str, Field("The product.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    category: Annotated[str, Field("Its category.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    price: Annotated[float, Field("Its price, in the shop's currency.", minimum=0, privacy=Privacy.PLAIN)]


class AddToCart(Event):
    """A user put a product into the cart."""

    name: ClassVar[str] = "add_to_cart"

    product_id: Annotated[str, Field("The product.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    quantity: Annotated[int, Field("How many.", minimum=1, privacy=Privacy.PLAIN)]
    price: Annotated[float, Field("Price of one, in the shop's currency.", minimum=0, privacy=Privacy.PLAIN)]


class Purchase(Event):
    """A user paid for an order."""

    name: ClassVar[str] = "purchase"

    order_id: Annotated[str, Field("The order.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    items: Annotated[int, Field("How many items it holds.", minimum=1, privacy=Privacy.PLAIN)]
    amount: Annotated[
        float,
        Field("What was paid.", minimum=0, privacy=Privacy.SENSITIVE, treatment=Treatment.KEEP),
    ]
    currency: Annotated[str, Field("ISO 4217 code.", min_length=3, max_length=3, privacy=Privacy.PLAIN)]


class Rating(Event):
    """A user rated a product."""

    name: ClassVar[str] = "rating"

    product_id: Annotated[str, Field("The product.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    stars: Annotated[int, Field("One to five.", minimum=1, maximum=5, privacy=Privacy.PLAIN)]


class Exposure(Event):
    """A user was shown an arm of an experiment."""

    name: ClassVar[str] = "exposure"
    by_user: ClassVar[bool] = False

    experiment: Annotated[str, Field("The experiment.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    arm: Annotated[str, Field("The arm shown.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    propensity: Annotated[
        float, Field("Probability with which the arm was chosen.", above=0, maximum=1, privacy=Privacy.PLAIN)
    ]


class Reward(Event):
    """An exposed user did what the experiment hopes for."""

    name: ClassVar[str] = "reward"
    by_user: ClassVar[bool] = False

    experiment: Annotated[str, Field("The experiment.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    arm: Annotated[str, Field("The arm that was shown.", min_length=1, max_length=128, privacy=Privacy.PLAIN)]
    value: Annotated[float, Field("The reward.", minimum=0, maximum=1, privacy=Privacy.PLAIN)]


EVENTS: dict[str, type[Event]] = {
    event.name: event for event in (PageView, Search, ProductView, AddToCart, Purchase, Rating, Exposure, Reward)
}
