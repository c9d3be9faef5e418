"""Read and write the files of Iceberg tables, small ones in one request, and none that tells of others twice."""

from __future__ import annotations

import io
from collections import OrderedDict
from functools import cache
from threading import Lock
from typing import Any

import boto3
import pyarrow as pa
from botocore.config import Config
from botocore.exceptions import ClientError
from pyiceberg.catalog import Catalog
from pyiceberg.io import PY_IO_IMPL, FileIO, InputFile, InputStream, OutputFile, OutputStream
from pyiceberg.typedef import Properties

from lambdas.catalogue import SharedArrow, open_catalogue
from lambdas.privacy.objects import Place

CONNECTIONS = 64
READ_WHOLE = 16 << 20
"""A smaller file is read in one request: several would take longer."""

KEPT_BYTES = 128 << 20
TELLS = (".avro", ".metadata.json")
"""How manifests, their lists and a table's metadata end: each has a name of its own, and never changes."""


@cache
def client(service: str) -> Any:
    """Connect to a service, for many threads at once."""
    return boto3.client(service, config=Config(max_pool_connections=CONNECTIONS))


class Kept:
    """What was read of files that never change, as far as there is room."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, location: str) -> bytes | None:
        """Give what is kept."""
        with self._lock:
            if location in self._bodies:
                self._bodies.move_to_end(location)
            return self._bodies.get(location)

    def put(self, location: str, body: bytes) -> None:
        """Keep a file that tells of others, in the place of those that nobody has asked for longest."""
        if not location.endswith(TELLS):
            return
        with self._lock:
            self._bytes += len(body) - len(self._bodies.pop(location, b""))
            self._bodies[location] = body
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._bodies.popitem(last=False)[1])

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._bodies.clear()
            self._bytes = 0


kept = Kept()


class Files(FileIO):
    """What pyiceberg reads and writes by, as a catalogue's property `py-io-impl` names it."""

    def new_input(self, location: str) -> InputFile:
        """Name a file to read."""
        return Input(location, self.properties)

    def new_output(self, location: str) -> OutputFile:
        """Name a file to write."""
        return Output(location, self.properties)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        place = Place.of(location if isinstance(location, str) else location.location)
        client("s3").delete_object(Bucket=place.bucket, Key=place.key)


class Input(InputFile):
    """A file of S3."""

    def __init__(self, location: str, properties: Properties) -> None:
        super().__init__(location)
        self._properties = properties

    def __len__(self) -> int:
        """Say how many bytes it has; raise FileNotFoundError if it is gone."""
        return int(asked(client("s3").head_object, self.location)["ContentLength"])

    def exists(self) -> bool:
        """Tell whether it is there."""
        try:
            return len(self) >= 0
        except FileNotFoundError:
            return False

    def open(self, seekable: bool = True) -> InputStream:
        """Read it, or if it is large, open it to be read by ranges; raise FileNotFoundError if it is gone."""
        body = kept.get(self.location)
        if body is None:
            answer = asked(client("s3").get_object, self.location, Range=f"bytes=0-{READ_WHOLE - 1}")
            if int(answer["ContentRange"].rpartition("/")[2]) > READ_WHOLE:
                answer["Body"].close()
                return SharedArrow(self._properties).new_input(self.location).open(seekable)
            body = answer["Body"].read()
            kept.put(self.location, body)
        return pa.BufferReader(body)  # type: ignore[no-any-return]


class Output(OutputFile):
    """A file of S3 that is written as a whole."""

    def __init__(self, location: str, properties: Properties) -> None:
        super().__init__(location)
        self._properties = properties

    def __len__(self) -> int:
        """Say how many bytes it has; raise FileNotFoundError if it is not there."""
        return len(self.to_input_file())

    def exists(self) -> bool:
        """Tell whether it is there."""
        return self.to_input_file().exists()

    def to_input_file(self) -> InputFile:
        """Name it as one to read."""
        return Input(self.location, self._properties)

    def create(self, overwrite: bool = False) -> OutputStream:
        """Begin to write; raise FileExistsError at the end if it is there already, unless told to overwrite."""
        return Written(self.location, overwrite)


class Written(io.BytesIO):
    """Bytes that are written once they are closed."""

    def __init__(self, location: str, overwrite: bool) -> None:
        super().__init__()
        self._location, self._condition = location, {} if overwrite else {"IfNoneMatch": "*"}

    def close(self) -> None:
        """Write them."""
        if self.closed:
            return
        place, body = Place.of(self._location), self.getvalue()
        super().close()
        try:
            client("s3").put_object(Bucket=place.bucket, Key=place.key, Body=body, **self._condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "PreconditionFailed":
                raise FileExistsError(self._location) from error
            raise
        kept.put(self._location, body)


def asked(call: Any, location: str, **options: Any) -> Any:
    """Ask S3 about a file; raise FileNotFoundError if it is gone."""
    place = Place.of(location)
    try:
        return call(Bucket=place.bucket, Key=place.key, **options)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            raise FileNotFoundError(location) from error
        raise


def catalogue() -> Catalog:
    """Open the Glue catalogue, whose files are read and written here."""
    return open_catalogue(**{PY_IO_IMPL: f"{Files.__module__}.{Files.__name__}"})
