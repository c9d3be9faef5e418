"""Ten people are erased after the day; their certificates are checked as an outsider would, and the rows counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import duckdb

from clients.operations.functions import CannotBeDone, call
from clients.privacy import verify
from clients.privacy.erase import PUBLIC_KEY, erase, told
from demo.claims import Claim
from demo.lake import tables
from demo.laptop import DemoFailed, Laptop
from demo.progress import tell
from demo.sources import Simulation, Source
from demo.truth import Truth

PEOPLE = 10
CHOSEN = "SELECT user_id FROM '{}' GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT ?"
"""Whoever came most often, so that there is something to find."""


def erase_people(laptop: Laptop, source: Source, folder: Path) -> dict[str, Any]:
    """Erase ten people of a simulated world; return what the page shows, and the claims; nothing for other worlds."""
    if not isinstance(source, Simulation):
        return {"certificates": [], "claims": []}
    before = counted(laptop)
    shutil.rmtree(folder, ignore_errors=True)  # certificates of an earlier demo are of another key
    try:
        paths = erase(call, chosen(source), folder)
    except CannotBeDone as fault:
        raise DemoFailed(str(fault)) from fault
    genuine = [verified(path) for path in paths]
    found = [told(path) for path in paths]
    tell(f"{sum(sum(each['rows_held'].values()) for each in found):,} rows of {len(found)} people are gone")
    claims = [claim.as_row() for claim in (*about(found, genuine, before, counted(laptop)), chained(folder))]
    return {"certificates": [row(said, path) for said, path in zip(found, paths, strict=True)], "claims": claims}


def chosen(source: Simulation) -> list[str]:
    """Choose people from the sender's ledger."""
    sessions = Truth(source.folder).sessions
    return [user for (user,) in duckdb.execute(CHOSEN.format(sessions), [PEOPLE]).fetchall()]


def counted(laptop: Laptop) -> dict[str, int]:
    """Count the rows of each table by its own account."""
    return {table["name"]: table["rows"] for table in tables(laptop)}


def verified(path: Path) -> bool:
    """Check a certificate by the program that knows nothing of the platform."""
    try:
        verify.verify(path, path.with_name(PUBLIC_KEY))
    except verify.NotGenuine as fault:
        tell(f"{path}: {fault}")
        return False
    return True


def chained(folder: Path) -> Claim:
    """Claim that no certificate was left out or replaced."""
    claim = "each certificate names the one before it"
    try:
        found = verify.chain(folder, folder / PUBLIC_KEY)
    except verify.NotGenuine as fault:
        return Claim(claim, str(fault), holds=False)
    return Claim(claim, f"{len(found)} of {PEOPLE}", len(found) == PEOPLE)


def about(
    found: Sequence[Mapping[str, Any]], genuine: Sequence[bool], before: Mapping[str, int], after: Mapping[str, int]
) -> Iterator[Claim]:
    """Claim that certificates are genuine, that nobody is found, and that nobody else lost a row."""
    yield Claim("each erased person has a genuine certificate", f"{sum(genuine)} of {PEOPLE}", sum(genuine) == PEOPLE)
    scans = [said["searched"]["bucket"] for said in found]
    seen, places = max(scan["found"] for scan in scans), scans[0]["versions"]
    yield Claim("nobody erased is found in any byte of the bucket", f"{seen} in {places:,} objects", seen == 0)
    held = {name: sum(said["rows_held"].get(name, 0) for said in found) for name in before}
    others = {name: rows - held[name] for name, rows in before.items()}
    gone, kept = sum(held.values()), sum(after.values())
    figure = f"{sum(before.values()):,} - {gone:,} = {kept:,}"
    yield Claim("rows before - rows of the erased = rows left, table by table", figure, others == dict(after))


def row(said: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Say what the page shows of a certificate."""
    return {
        "subject": f"{said['subject'][:12]}…",
        "rows": sum(said["rows_held"].values()),
        "tables": len(said["rows_held"]),
        "items": sum(said["items_deleted"].values()),
        "models": sum(1 for model in said["models"] if model["retrain_by"]),
        "certificate": path.name,
    }


def section(evidence: Mapping[str, Any]) -> str:
    """Write the page's part about it; nothing if nobody was erased."""
    rows = evidence.get("certificates", ())
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    cells = ["".join(f"<td>{escape(str(cell))}</td>" for cell in each.values()) for each in rows]
    body = "".join(f"<tr>{each}</tr>" for each in cells)
    return (
        "<h2>Erased after the day</h2><p>Known by a keyed digest; each certificate is signed, and checked without the "
        "platform: <code>python -m clients.privacy verify CERTIFICATE --public-key FILE</code></p>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
