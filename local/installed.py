"""Check that the Python packages that a job asks for are on this machine, since jobs share its interpreter."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(?:==\s*([\w.!+-]+))?")


def missing(requirements: Iterable[str]) -> str | None:
    """Say what the first requirement that is not met lacks, and what to do; None if all are met.

    >>> missing(["pip"]) is None
    True
    >>> missing(["no-such-thing==1.0"])
    'no-such-thing==1.0: here it is missing; pip install no-such-thing==1.0'
    """
    for requirement in requirements:
        asked = requirement.split("#", 1)[0].strip()
        found = _REQUIREMENT.match(asked)
        if not found:
            continue
        here, version = _version(found[1]), found[2]
        if here == "missing" or (version and here != version):
            return f"{asked}: here it is {here}; pip install {asked}"
    return None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
