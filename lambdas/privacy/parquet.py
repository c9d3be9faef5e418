"""Remove subjects from a Parquet object that is in no table: over itself, if nobody wrote it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from botocore.exceptions import ClientError

from domain.privacy.erasure.file import erase
from lambdas.privacy.objects import Place, remove, versions
from lambdas.privacy.table import Erased
from lambdas.privacy.upload import Moved, Remote, store

ATTEMPTS = 5
OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412")


class Overtaken(RuntimeError):
    """An object is written again and again while it is being erased."""


def erase_object(s3: Any, place: Place, column: str, subjects: Sequence[str]) -> Erased:
    """Remove the rows of the subjects from an object, and every older version of it; delete it if no row is left.

    Raises Overtaken if others write it all the time.
    """
    wanted = pa.array(sorted(set(subjects)), pa.string())
    for _ in range(ATTEMPTS):
        try:
            return erase_once(s3, place, column, wanted)
        except ClientError as error:
            if error.response["Error"]["Code"] not in OVERTAKEN:
                raise
    raise Overtaken(f"key: {place.key} was written {ATTEMPTS} times meanwhile; stop its writer and try again")


def erase_once(s3: Any, place: Place, column: str, subjects: pa.Array) -> Erased:
    """Remove the rows from the object as it is now."""
    source = Remote.open(s3, place)
    done, moved = erase(source, column, subjects), Moved(0, 0)
    if done is None:
        return Erased()
    if done.left is None:
        s3.delete_object(Bucket=place.bucket, Key=place.key, IfMatch=source.etag)
    else:
        moved = store(source, done, place)
    # A prefix may be another key's beginning.
    named = [one for one in versions(s3, place.bucket, place.key) if one.key == place.key]
    remove(s3, place.bucket, [one for one in named if one.marker or not one.latest])
    counted = (1, done.groups, done.rows, done.decoded, done.encoded)
    return Erased(*counted, sent=moved.sent, copied=moved.copied)
