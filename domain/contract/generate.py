"""Write what is generated from the declarations: `python -m domain.contract.generate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from domain.contract.compatibility import breaches, golden_path, promises, read_golden
from domain.contract.docs import events_page
from domain.events import EVENTS

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def texts() -> dict[Path, str]:
    """Give every generated file its text."""
    golden = {golden_path(event): json.dumps(promises(event), indent=1) + "\n" for event in EVENTS.values()}
    return {PAGE: events_page(), **golden}


def broken() -> list[str]:
    """List what breaks a promise that is written down."""
    written = [event for event in EVENTS.values() if golden_path(event).exists()]
    return [breach for event in written for breach in breaches(event, read_golden(event))]


def main() -> None:
    """Write all files, unless a contract is broken."""
    if found := broken():
        sys.exit("\n".join(found))
    for path, text in texts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
