"""Say how fast AWS's own clocks run here, so that a demo need not wait for limits that only protect AWS."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

from local.cloud import Cloud


@dataclass(slots=True)
class Pace:
    """How many seconds of AWS's limits and waits pass in a second of this machine's clock; 1 is AWS's own pace.

    It speeds up shard limits, the waits between retries and on-demand scaling, never timeouts, windows or timestamps.
    """

    speed: float = 1.0

    def wait(self, seconds: float) -> float:
        """Return how long a wait of AWS's takes here, in seconds."""
        return seconds / self.speed

    def sleep(self, seconds: float) -> None:
        """Sleep for a wait of AWS's."""
        time.sleep(self.wait(seconds))


@functools.cache
def pace(cloud: Cloud) -> Pace:
    """Return the pace of a cloud, the same object each time."""
    return Pace(cloud.speed)
