"""Answer DynamoDB's calls one after another: moto looks at an item, then writes it, and lets another in between.

A conditional write is DynamoDB's promise that one of many is first (Amazon DynamoDB Developer Guide, "Condition
expressions"), and a transaction that is taken back must take nothing of others with it.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from moto.dynamodb.responses import DynamoHandler

from local.cloud import Cloud

_turn = threading.RLock()


@functools.cache
def install(cloud: Cloud) -> None:
    """Give each call on this cloud the tables to itself."""
    call = DynamoHandler.call_action

    def alone(self: Any) -> Any:
        with _turn:
            return call(self)

    DynamoHandler.call_action = alone
