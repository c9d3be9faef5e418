"""Let a module answer requests that no AWS service claims, such as those to a function's own address."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_claims: list[tuple[Callable[[Environ], bool], Application]] = []


def claim(matches: Callable[[Environ], bool], application: Application) -> None:
    """Send every request for which `matches(environ)` holds to a WSGI `application`, before any AWS service sees it."""
    _claims.append((matches, application))


def claimant(environ: Environ) -> Application | None:
    """Return the application that claims a request, if one does."""
    return next((application for matches, application in _claims if matches(environ)), None)
