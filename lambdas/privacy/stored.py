"""What a person is called where they rest, and what was sealed of them, where privacy is on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from domain.privacy.domains import USER, is_token
from domain.privacy.keyring import SEALED_BYTES, UNITS, KeyUnavailable
from domain.privacy.units import called
from domain.schema import Treatment
from domain.tables import QUARANTINE

if TYPE_CHECKING:
    from domain.privacy.keyring import Keyring

SEALED = tuple(column.name for column in QUARANTINE.columns if column.field.treatment is Treatment.ENCRYPT)


def tokens_of(raw: str, ring: Keyring) -> tuple[str, ...]:
    """Give a person's tokens under every version of the key, the newest first.

    Raises KeyUnavailable while one is missing or revoked: what a person is called by it cannot be told, nor found.
    """
    from domain.privacy import tokens  # noqa: PLC0415  # with its layer, only where privacy is on
    from domain.privacy.keyring import TOKENS, Keyring  # noqa: PLC0415  # as above

    column = pa.array([raw], pa.string())
    newest = max(ring.versions(TOKENS), default=0)
    rings = [Keyring.of([ring.version(TOKENS, version)]) for version in range(newest, 0, -1)]
    return tuple(tokens.tokenized(column, each, USER)[0].as_py() for each in rings)


def unit_of(raw: str, ring: Keyring) -> tuple[str, ...]:
    """Say what decisions of experiments call a person, if anybody was ever decided for."""
    return (called(raw, ring),) if ring.versions(UNITS) else ()


def meant(asked: str, ring: Keyring) -> str:
    """Say who is asked for: whom a token of ours stands for, and else the value itself.

    Rows of theirs come in under the name, not the token, and so the name is what must be denied.
    """
    from domain.privacy import tokens  # noqa: PLC0415  # with its layer, only where privacy is on
    from domain.privacy.siv import NotAuthentic  # noqa: PLC0415  # as above
    from domain.privacy.spelling import NotSpelled  # noqa: PLC0415  # as above

    if not is_token(asked):
        return asked
    try:
        return str(tokens.revealed(pa.array([asked], pa.string()), ring, USER)[0].as_py())
    except (NotAuthentic, NotSpelled, KeyUnavailable):
        return asked


def set_aside_in_clear(rows: pa.Table, ring: Keyring) -> pa.Table:
    """Open what is sealed in rows of the quarantine; what was set aside while privacy was off is in clear already."""
    for name in SEALED:
        place = rows.schema.get_field_index(name)
        if place >= 0:
            values = [opened(value, name, ring) for value in rows.column(place).to_pylist()]
            rows = rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))
    return rows


def opened(value: Any, name: str, ring: Keyring) -> Any:
    """Open one value, of either kind, if it is sealed; what only looks so was sent so, while privacy was off."""
    from domain.privacy.sealing import unsealed  # noqa: PLC0415  # with its layer, only where privacy is on
    from domain.privacy.siv import NotAuthentic  # noqa: PLC0415  # as above
    from domain.privacy.spelling import SPELLED, NotSpelled  # noqa: PLC0415  # as above

    is_bytes = isinstance(value, bytes) and value.startswith(SEALED_BYTES)
    is_text = isinstance(value, str) and (found := SPELLED.fullmatch(value)) is not None and found[1] == "s"
    if not is_bytes and not is_text:
        return value
    try:
        return unsealed(value, ring, f"{QUARANTINE.name}.{name}")
    except (NotAuthentic, NotSpelled):
        return value
