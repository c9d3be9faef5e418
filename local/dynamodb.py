"""Answer DynamoDB's calls one after another: moto looks at an item, then writes it, and lets another in between.

A conditional write is DynamoDB's promise that one of many is first (Amazon DynamoDB Developer Guide, "Condition
expressions"), and a transaction that is taken back must take nothing of others with it.  Of a transaction moto copies
the whole table before each action; here the items that it touches are kept, and put back if it is taken back.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

from local.cloud import Cloud

_turn = threading.RLock()
_lent: set[int] = set()
"""Tables that the transaction at work does not copy, by their `id`."""


@functools.cache
def install(cloud: Cloud) -> None:
    """Give each call on this cloud the tables to itself, and each transaction no more of them than it touches."""
    call, transact = DynamoHandler.call_action, DynamoDBBackend.transact_write_items

    def alone(self: Any) -> Any:
        with _turn:
            return call(self)

    def all_or_none(self: Any, transact_items: list[dict[str, Any]]) -> None:
        with _turn, _put_back(self, transact_items):
            transact(self, transact_items)

    DynamoHandler.call_action = alone
    DynamoDBBackend.transact_write_items = all_or_none
    Table.__deepcopy__ = _copied


@contextmanager
def _put_back(backend: Any, actions: list[dict[str, Any]]) -> Iterator[None]:
    """Put items back as they were if what is done with them fails."""
    before = {place: copy.deepcopy(table.get_item(*place[1:])) for table, place in _touched(backend, actions)}
    _lent.update(id(backend.tables[name]) for name, _, _ in before)
    try:
        yield
    except Exception:
        for (name, hash_key, range_key), item in before.items():
            _restore(backend.tables[name], hash_key, range_key, item)
        raise
    finally:
        _lent.clear()


def _touched(backend: Any, actions: list[dict[str, Any]]) -> Iterator[tuple[Any, tuple[str, Any, Any]]]:
    """Name the items of a transaction; what names none, or is told to a stream, is left to moto."""
    for asked in (asked for action in actions for asked in action.values()):
        table, said = backend.tables.get(asked.get("TableName")), asked.get("Item") or asked.get("Key") or {}
        keys = {table.hash_key_attr, table.range_key_attr} - {None} if table else set()
        if table and table.stream_shard is None and keys <= said.keys():
            yield table, (asked["TableName"], *backend.get_keys_value(table, said))


def _restore(table: Any, hash_key: Any, range_key: Any, item: Any) -> None:
    if item is None:
        table.delete_item(hash_key, range_key)
    elif range_key:
        table.items[hash_key][range_key] = item
    else:
        table.items[hash_key] = item


def _copied(self: Any, memo: dict[int, Any]) -> Any:
    """Copy a table, as its backups do, but lend it to a transaction as it is."""
    if id(self) in _lent:
        return self
    made = memo[id(self)] = Table.__new__(Table)
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made
