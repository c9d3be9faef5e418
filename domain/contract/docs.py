"""Write the page that tells a producer what every event must carry."""

from __future__ import annotations

from domain.contract.wording import expectation
from domain.events import EVENTS, Event
from domain.ingest.limits import EARLIEST, LARGEST_RECORD, LEAD
from domain.schema import Column

INTRODUCTION = f"""\
# Events

This page is generated from `domain/events.py`.

An event is one JSON object in one record of the stream, in UTF-8, of at most {LARGEST_RECORD:,} bytes. It names
itself in `event`; `version` may be left out while it is 1. The record's partition key is the event's subject
(`user_id`), so that a user's events stay in order.

A record that breaks its contract is set aside in `raw.quarantine` with its bytes, the field, the value and the
reason, and its neighbours are not harmed. That happens to what is not JSON or not an object, to a key given twice, to
an unknown event or version, to a required field that is missing or null, to a value of another type or out of bounds,
to text with a NUL or half a surrogate pair, and to an event that happened before {EARLIEST:%Y-%m-%d} or more than
{LEAD.seconds // 3600} hour after its record arrived. `3` is a right value where a fraction may stand; `3.0` and `"3"`
are wrong ones where a whole number must stand.

What an event says in a field that it does not declare lands in `raw.undeclared` and is counted in the receipt of its
batch: a producer that is one optional field ahead of the platform loses nothing. An optional field may be null or left
out. Fractions of a second beyond the sixth digit are rounded. A space or `t` may stand for a time's `T`, `z` for its
`Z`, and `+0100` for `+01:00`; `24:00` and a 60th second are no times.
"""


def events_page() -> str:
    """Write the page in Markdown."""
    return "\n".join([INTRODUCTION, *(_section(event) for event in EVENTS.values())])


def _section(event: type[Event]) -> str:
    rows = [_row(column) for column in event.columns()]
    heading = "| field | takes | required | privacy | treatment | meaning |\n|---|---|---|---|---|---|"
    return "\n".join([f"## `{event.name}`, version {event.version}\n", f"{event.__doc__}\n", heading, *rows, ""])


def _row(column: Column) -> str:
    field = column.field
    required = "yes" if column.required else "no"
    cells = [
        f"`{column.name}`",
        expectation(column),
        required,
        field.privacy.value if field.privacy else "",
        field.treatment.value,
        field.doc,
    ]
    return f"| {' | '.join(cells)} |"
