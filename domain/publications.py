"""The tables that are published anonymized.  To add one, declare it here and list it in PUBLICATIONS."""

from __future__ import annotations

from domain.events import DEVICES
from domain.privacy.anonymize.declaration import Cover, Publication, Sensitive
from domain.privacy.anonymize.hierarchy import Numbers, Tree
from domain.tables import SESSIONS

REGIONS = Tree(
    {
        "*": ("Europe", "America", "Asia and Pacific", "elsewhere"),
        "Europe": ("DACH", "Benelux", "Nordic", "other Europe"),
        "DACH": ("DE", "AT", "CH"),
        "Benelux": ("NL", "BE"),
        "Nordic": ("SE", "DK"),
        "other Europe": ("FR", "IT", "ES", "GB", "PL"),
        "America": ("US", "CA", "BR"),
        "Asia and Pacific": ("IN", "JP", "AU"),
    },
    other="elsewhere",
)

VISITORS = Publication(
    name="visitors",
    table=SESSIONS,
    newest="started_at",
    k=10,
    quasi={
        "device": Tree({"*": (*DEVICES, "none")}, other="none"),
        "country": REGIONS,
        "events": Numbers(widths=(5, 10, 20, 40)),
    },
    sensitive={"revenue": Sensitive(close=0.3, edges=(0.01, 25.0, 50.0, 100.0, 200.0))},
    covered={
        "session_id": Cover.DROP,
        "user_id": Cover.DROP,
        "started_at": Cover.DROP,
        "ended_at": Cover.DROP,
        "page_views": Cover.AVERAGE,
        "searches": Cover.AVERAGE,
        "product_views": Cover.AVERAGE,
    },
    kept=("carts", "purchases", "is_bot"),
)

PUBLICATIONS: dict[str, Publication] = {publication.name: publication for publication in (VISITORS,)}
