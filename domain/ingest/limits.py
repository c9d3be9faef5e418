"""The limits of a record that hold for every event."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

LARGEST_RECORD = 1024 * 1024
"""Bytes of a record at most: what a Kinesis stream takes unless told otherwise."""

LEAD = timedelta(hours=1)
"""How far a producer's clock may run ahead of the broker's."""

EARLIEST = datetime(1970, 1, 1, tzinfo=timezone.utc)
"""No event is older: an earlier time is a clock that was never set."""

LONGEST_VALUE = 256
"""Characters of a refused value that quarantine shows; its bytes keep the rest."""

MOST_EVENTS = 262_144
"""Events of a record at most; a frame of the largest size would have 64 bytes for each."""

LARGEST_BATCH = 64 * 1024 * 1024
"""Bytes that the records of a batch may unpack to before they land; the rest lands after them."""
