"""The chain of receipts: what became of a shard's records, and which position each batch follows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

ROOT = "receipts/"
START = 0
"""The position before a shard's first record; sequence numbers are above it."""

HIGHEST = 10**60 - 1
"""Beyond every sequence number (Kinesis writes them with 56 digits)."""


class Unaccounted(ValueError):
    """An account does not add up: a record that was received is neither landed, set aside nor a duplicate."""


class BrokenChain(RuntimeError):
    """A shard's receipts do not follow one another: one is missing or was changed by hand."""


class Account(msgspec.Struct, frozen=True):
    """What became of the events in a batch's records.

    A plain record is one event, an aggregate or a frame is as many as it holds; what cannot be taken apart is set aside
    whole and counts as one.

    >>> Account(received=3, landed={"search": 1}, quarantined={"not_json": 1}, duplicates=1).imbalance
    0
    """

    received: int
    landed: Mapping[str, int]
    quarantined: Mapping[str, int]
    duplicates: int

    @property
    def imbalance(self) -> int:
        """Count the events that nothing accounts for."""
        return self.received - sum(self.landed.values()) - sum(self.quarantined.values()) - self.duplicates


def total(accounts: Sequence[Account]) -> Account:
    """Sum accounts up.

    >>> total([Account(2, {"search": 1}, {}, 1), Account(1, {"search": 1}, {}, 0)])
    Account(received=3, landed={'search': 2}, quarantined={}, duplicates=1)
    """
    landed: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for account in accounts:
        landed.update(account.landed)
        quarantined.update(account.quarantined)
    received, duplicates = sum(each.received for each in accounts), sum(each.duplicates for each in accounts)
    return Account(received, dict(landed), dict(quarantined), duplicates)


class DataFile(msgspec.Struct, frozen=True):
    """A Parquet file that waits to be registered in a table, named with its database; `late` of its rows came late."""

    table: str
    key: str
    rows: int
    bytes: int
    late: int = 0


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one batch of one shard; all of it counts from the moment that this is written.

    `attempt` names the write, so that its author knows it again; `ignored` counts, by event, fields that no contract
    knows.
    """

    stream: str
    shard: str
    follows: int
    first: int
    last: int
    account: Account
    ignored: Mapping[str, int]
    files: tuple[DataFile, ...]
    attempt: str
    written_at: datetime

    def __post_init__(self) -> None:
        if self.account.imbalance:
            raise Unaccounted(f"{self.stream}/{self.shard} after {self.follows}: {self.account} does not add up")

    @property
    def key(self) -> str:
        """Name the object that holds the receipt."""
        return receipt_key(self.stream, self.shard, self.follows)

    def write(self) -> bytes:
        """Write the receipt as JSON; positions are text there, since readers keep only 53 bits of a number."""
        body = {
            "stream": self.stream,
            "shard": self.shard,
            "follows": str(self.follows),
            "first": str(self.first),
            "last": str(self.last),
            **msgspec.structs.asdict(self.account),
            "ignored": self.ignored,
            "files": [msgspec.structs.asdict(file) for file in self.files],
            "attempt": self.attempt,
            "written_at": self.written_at.isoformat(),
        }
        return json.dumps(body).encode()


def read_receipt(body: bytes) -> Receipt:
    """Read what `Receipt.write` wrote."""
    said: dict[str, Any] = json.loads(body)
    return Receipt(
        stream=said["stream"],
        shard=said["shard"],
        follows=int(said["follows"]),
        first=int(said["first"]),
        last=int(said["last"]),
        account=Account(said["received"], said["landed"], said["quarantined"], said["duplicates"]),
        ignored=said["ignored"],
        files=tuple(DataFile(**file) for file in said["files"]),
        attempt=said["attempt"],
        written_at=datetime.fromisoformat(said["written_at"]),
    )


def shard_prefix(stream: str, shard: str) -> str:
    """Name the folder of a shard's receipts."""
    return f"{ROOT}{stream}/{shard}/"


def receipt_key(stream: str, shard: str, follows: int) -> str:
    """Name the receipt that follows a position; the complement makes a listing begin with the newest.

    >>> receipt_key("s", "0", 5) < receipt_key("s", "0", 4)
    True
    """
    if not START <= follows <= HIGHEST:
        raise ValueError(f"{stream}/{shard}: sequence number {follows} is not within {START} to {HIGHEST}")
    return f"{shard_prefix(stream, shard)}{HIGHEST - follows:060d}.json"


def followed(key: str) -> int:
    """Read the position that a receipt follows from its key.

    >>> followed(receipt_key("s", "0", 5))
    5
    """
    return HIGHEST - int(key.rpartition("/")[2].removesuffix(".json"))


def linked(position: int, receipts: Iterable[Receipt]) -> list[Receipt]:
    """Order the receipts after a position and prove that each follows the one before it."""
    ordered = sorted(receipts, key=lambda receipt: receipt.follows)
    for receipt in ordered:
        if receipt.follows != position:
            raise BrokenChain(
                f"{receipt.stream}/{receipt.shard}: no receipt follows position {position}, yet {receipt.key} exists; "
                "restore the missing receipt from the bucket's versions"
            )
        position = receipt.last
    return ordered
