"""Refuse a request: the field at fault, its value, and the fix."""

from __future__ import annotations

import json
from typing import Any

LONGEST_VALUE = 256


class InvalidRequest(ValueError):
    """A request breaks the contract: the field at fault, its value, and the fix; `status` is HTTP's."""

    def __init__(self, error: str, *, field: str, value: object, fix: str, status: int = 400) -> None:
        super().__init__(f"{field}: {error}; {fix}")
        self.error, self.field, self.value, self.fix, self.status = error, field, value, fix, status

    def body(self) -> dict[str, Any]:
        """Say it as the answer's body; the value is cut to 256 characters of JSON."""
        return {"error": self.error, "field": self.field, "value": _shown(self.value), "fix": self.fix}


def _shown(value: object) -> object:
    try:
        whole = len(json.dumps(value, default=str, allow_nan=False)) <= LONGEST_VALUE
    except ValueError:  # JSON knows no NaN, and who asked would not read the answer
        whole = False
    except RecursionError:
        return "nested too deep"
    return value if whole else str(value)[:LONGEST_VALUE]
