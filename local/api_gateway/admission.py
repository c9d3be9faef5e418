"""Hold requests to their keys, rates and quotas.

Sources: API Gateway guide, "Usage plans and API keys", "Throttle requests to your REST APIs" (token buckets).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.api_gateway.refusals import Refused


@dataclass(slots=True)
class Bucket:
    """Tokens that come back at `rate` a second up to `burst`; a request takes one."""

    rate: float
    burst: float
    left: float
    filled_at: float

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        self.left = min(self.burst, self.left + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class Throttles:
    """The buckets and the counts of every key and stage; `speed` is how fast AWS's clock runs here."""

    speed: Callable[[], float]
    now: Callable[[], float] = time.monotonic
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    _buckets: dict[tuple[str, ...], Bucket] = field(default_factory=dict)
    _counts: dict[tuple[str, ...], tuple[str, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rate(self, whose: tuple[str, ...], rate: float, burst: float) -> None:
        """Let one request through, or raise `Refused`."""
        with self._lock:
            now = self.now() * self.speed()
            bucket = self._buckets.get(whose)
            if bucket is None or (bucket.rate, bucket.burst) != (rate, burst):
                bucket = self._buckets[whose] = Bucket(rate, burst, burst, now)
            if not bucket.take(now):
                raise Refused("THROTTLED")

    def quota(self, whose: tuple[str, ...], limit: int, period: str) -> None:
        """Count one request of a day, week or month, or raise `Refused`."""
        with self._lock:
            span = _span(self.today(), period)
            before, count = self._counts.get(whose, (span, 0))
            count = count if before == span else 0
            if count >= limit:
                raise Refused("QUOTA_EXCEEDED")
            self._counts[whose] = (span, count + 1)


def _span(moment: datetime, period: str) -> str:
    return moment.strftime({"DAY": "%Y-%m-%d", "WEEK": "%G-%V", "MONTH": "%Y-%m"}[period])


def key_of(backend: Any, value: str | None) -> Any:
    """Find the enabled key that has this value, or raise `Refused`."""
    for key in backend.keys.values():
        if value and key.value == value and key.enabled:
            return key
    raise Refused("INVALID_API_KEY")


def plan_of(backend: Any, key: str, api: str, stage: str) -> Any:
    """Find the usage plan by which a key may call a stage, or raise `Refused`."""
    for identity, plan in backend.usage_plans.items():
        covered = any(each["apiId"] == api and each["stage"] == stage for each in plan.api_stages)
        if covered and key in backend.usage_plan_keys.get(identity, {}):
            return plan
    raise Refused("INVALID_API_KEY")


def admit(throttles: Throttles, plan: Any, key: str) -> None:
    """Hold a key to the rate and the quota of its plan."""
    if plan.throttle:
        limits = plan.throttle
        throttles.rate((plan.id, key), float(limits["rateLimit"]), float(limits["burstLimit"]))
    if plan.quota:
        throttles.quota((plan.id, key), int(plan.quota["limit"]), str(plan.quota["period"]))
