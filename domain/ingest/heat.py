"""Find the partition keys that take more of their shard than one key should, and say what would help."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from domain.ingest.shards import SHARD_BYTES, SHARD_RECORDS

HOT = 0.5
"""Of a shard's limit: a key that takes this much leaves its neighbours half a shard, and no split can part it."""

COOL = 0.25
"""Of a shard's limit: what each suffix of a salted key should take at most."""

WINDOW_SECONDS = 60.0
SAMPLE = 512
"""Records of a batch that are looked at, drawn at random: half a shard is found 2 % too hot or too cool, in a batch."""

COUNTERS = 64
"""Keys remembered at a time: an estimate is off by 1/64 of the whole at most, where 1/2 is looked for."""


class SpaceSaving:
    """Weighs the heaviest keys of a stream in constant memory.

    A key's true weight lies between `weight - error` and `weight + light`, where errors are at most the total over
    `counters` and `light` half of that (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k
    Elements in Data Streams", 2005; the light keys of a batch are left out, as most are, for speed).
    """

    def __init__(self, counters: int = COUNTERS) -> None:
        self.counters = counters
        self.total = 0.0
        self.light = 0.0
        self._weights: dict[str, float] = {}
        self._errors: dict[str, float] = {}

    def add(self, batch: Mapping[str, float]) -> None:
        """Add the weights of a batch's keys."""
        whole = sum(batch.values())
        least = whole / (2 * self.counters)
        self.total += whole
        self.light += least
        for key, weight in batch.items():
            if weight > least:
                self._count(key, weight)

    def heaviest(self, least: float) -> list[tuple[str, float, float]]:
        """List the keys that may weigh as much as said, with weight and error, heaviest first."""
        found = [(key, weight, self._errors[key]) for key, weight in self._weights.items() if weight >= least]
        return sorted(found, key=lambda each: -each[1])

    def _count(self, key: str, weight: float) -> None:
        error = 0.0
        if key not in self._weights and len(self._weights) >= self.counters:
            lightest = min(self._weights, key=self._weights.__getitem__)
            error = self._weights.pop(lightest)
            del self._errors[lightest]
        self._weights[key] = self._weights.get(key, error) + weight
        self._errors.setdefault(key, error)


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key that took about `share` of its shard's limit over `seconds`."""

    key: str
    share: float
    seconds: float

    @property
    def suffixes(self) -> int:
        """Count the suffixes that would cool it."""
        return max(2, ceil(self.share / COOL))

    @property
    def proposal(self) -> str:
        """Say what would help: order is then kept for each suffix, no longer for the key."""
        return (
            f"salt with {self.suffixes} suffixes: send under key + '-' + str(crc32(event_id) % {self.suffixes}); "
            "more shards do not part one key"
        )


@dataclass(slots=True)
class Watch:
    """What a shard's keys took since its window began, in seconds of the shard's limit."""

    seen: SpaceSaving = field(default_factory=SpaceSaving)
    since: float | None = None

    def see(self, weights: Mapping[str, float], first: float, last: float) -> list[HotKey] | None:
        """Add a batch that arrived from `first` to `last` (seconds); name the hot keys where a window ends."""
        self.seen.add(weights)
        self.since = first if self.since is None else self.since
        seconds = last - self.since
        if seconds < WINDOW_SECONDS:
            return None
        heavy = self.seen.heaviest(HOT * seconds)
        self.seen, self.since = SpaceSaving(), None
        shares = [(key, (weight - error) / seconds) for key, weight, error in heavy]
        return [HotKey(key, share, seconds) for key, share in shares if share >= HOT]


def weigh(keys: Sequence[str], sizes: Sequence[int], each: float = 1.0) -> dict[str, float]:
    """Weigh each key in seconds of a shard: its records over 1,000, or its bytes over 1 MB, whichever is more.

    Of a sample, `each` record stands for so many.

    >>> weigh(["a", "b", "a"], [100, 5_000_000, 100])
    {'a': 0.002, 'b': 5.0}
    """
    total: defaultdict[str, int] = defaultdict(int)
    for key, size in zip(keys, sizes, strict=True):
        total[key] += size
    counted = Counter(keys)
    return {key: each * max(counted[key] / SHARD_RECORDS, size / SHARD_BYTES) for key, size in total.items()}
