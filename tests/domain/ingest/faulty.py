"""A bucket in memory that fails as S3 does: before a write, after it, or by losing the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Crash(RuntimeError):
    """The process dies here."""


class MemoryBucket:
    """Objects in a dictionary, with conditional writes; `before` and `after` run around each write and may raise."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.before: Callable[[str], None] = lambda key: None
        self.after: Callable[[str], None] = lambda key: None
        self.lose_answer: Callable[[], bool] = lambda: False

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def put(self, key: str, body: bytes) -> None:
        self.before(key)
        self.objects[key] = body
        self.after(key)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        self.before(key)
        if key in self.objects:
            return False
        self.objects[key] = body
        self.after(key)
        # boto3 sends a write whose answer was lost again, and is refused by what it wrote itself.
        return not self.lose_answer()

    def first_key(self, prefix: str) -> str | None:
        return min((key for key in self.objects if key.startswith(prefix)), default=None)

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    @contextmanager
    def failing(self, *, before: Callable[[str], None], after: Callable[[str], None]) -> Iterator[None]:
        self.before, self.after = before, after
        try:
            yield
        finally:
            self.before = self.after = lambda key: None
