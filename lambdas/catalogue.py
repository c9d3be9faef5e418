"""Open the Glue catalogue as whoever commits to Iceberg tables needs it."""

from __future__ import annotations

import functools

import boto3
from botocore.config import Config
from pyarrow.fs import FileSystem
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

ARROW_SETTINGS = ("s3.", "client.")  # what Arrow's client of S3 is made of; the rest of a table's properties is its own


def open_catalogue(**properties: str) -> Catalog:
    """Open the Glue catalogue, with properties of pyiceberg if any.

    Its client never repeats a call by itself: an answer that was lost, repeated, comes back as a conflict with
    ourselves, on which pyiceberg would remove the files of a commit that stands.
    """
    glue = boto3.client("glue", config=Config(retries={"total_max_attempts": 1}))
    # Arrow's S3 client does not read AWS_ENDPOINT_URL; boto3's does, and knows the region's own endpoint otherwise.
    where = {"s3.region": glue.meta.region_name, "s3.endpoint": boto3.client("s3").meta.endpoint_url}
    return GlueCatalog("lake", glue, **where, **{"py-io-impl": f"{__name__}.{SharedArrow.__name__}"} | properties)


class SharedArrow(PyArrowFileIO):
    """Reach the files of every table by one Arrow client.

    pyiceberg makes one each time that it loads or commits a table, which takes 20 ms of a processor where the
    credentials are the process's own: a hundred times in an invocation.
    """

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        settings = {name: value for name, value in properties.items() if name.startswith(ARROW_SETTINGS)}
        self.fs_by_scheme = functools.partial(_file_system, tuple(sorted(settings.items())))


@functools.cache
def _file_system(settings: tuple[tuple[str, str], ...], scheme: str, netloc: str | None = None) -> FileSystem:
    return PyArrowFileIO(dict(settings)).fs_by_scheme(scheme, netloc)
