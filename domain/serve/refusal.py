"""Refuse a request: the field at fault, its value, and the fix."""

from __future__ import annotations

import json
from typing import Any


class InvalidRequest(ValueError):
    """A request breaks the contract: the field at fault, its value, and the fix; `status` is HTTP's."""

    def __init__(self, error: str, *, field: str, value: object, fix: str, status: int = 400) -> None:
        super().__init__(f"{field}: {error}; {fix}")
        self.error, self.field, self.value, self.fix, self.status = error, field, value, fix, status

    def body(self) -> dict[str, Any]:
        """Say it as the answer's body; the value is cut to 256 characters of JSON."""
        shown = self.value if len(json.dumps(self.value, default=str)) <= 256 else str(self.value)[:256]  # noqa: PLR2004
        return {"error": self.error, "field": self.field, "value": shown, "fix": self.fix}
