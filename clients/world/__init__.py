"""A simulated world of shoppers whose every purchase probability is known.

world = World(seed=7, events=200_000, until=date(2026, 3, 1))
for batch in world.batches():   # in sending order
    batch.records               # (partition key, bytes)
    batch.sent                  # what is true of each of them, an Arrow table
world.sessions()                # what is true of each session
"""

from __future__ import annotations

from clients.world.nature import Nature
from clients.world.truth import auc, best_possible_auc
from clients.world.world import World

__all__ = ["Nature", "World", "auc", "best_possible_auc"]
