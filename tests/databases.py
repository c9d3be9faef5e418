"""Glue databases of a test: moto's state is the process's, so others may have left theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def databases(glue: Any, *names: str) -> Iterator[None]:
    """Make empty databases, whatever was there, and take them away again."""
    anew(glue, *names)
    yield
    for name in names:
        glue.delete_database(Name=name)


def anew(glue: Any, *names: str) -> None:
    """Make empty databases, whatever was there."""
    there = {found["Name"] for found in glue.get_databases()["DatabaseList"]}
    for name in names:
        if name in there:
            glue.delete_database(Name=name)
        glue.create_database(DatabaseInput={"Name": name})
