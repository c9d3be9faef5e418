"""Put first-party code into assets: no Docker, no copying, no build step."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from aws_cdk import IgnoreMode

ROOT = Path(__file__).parents[2]


class Selection(TypedDict):
    """The asset options that select files."""

    exclude: list[str]
    ignore_mode: IgnoreMode


def only(*paths: str) -> Selection:
    """Keep only these paths of the repository in an asset; its hash moves only with them."""
    kept = [f"!{path}" for path in paths]
    return {"exclude": ["*", *kept, "**/__pycache__", "**/*.md"], "ignore_mode": IgnoreMode.DOCKER}
