"""How long after an event its producer may still send it again."""

from __future__ import annotations

from datetime import timedelta

RESEND_WINDOW = timedelta(days=30)
"""An event that comes again within this time is found out; older files are not read for it."""
