"""Open the Glue catalogue as whoever commits to Iceberg tables needs it."""

from __future__ import annotations

import boto3
from botocore.config import Config
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.glue import GlueCatalog


def open_catalogue() -> Catalog:
    """Open the Glue catalogue.

    Its client never repeats a call by itself: an answer that was lost, repeated, comes back as a conflict with
    ourselves, on which pyiceberg would remove the files of a commit that stands.
    """
    glue = boto3.client("glue", config=Config(retries={"total_max_attempts": 1}))
    # Arrow's S3 client does not read AWS_ENDPOINT_URL; boto3's does, and knows the region's own endpoint otherwise.
    where = {"s3.region": glue.meta.region_name, "s3.endpoint": boto3.client("s3").meta.endpoint_url}
    return GlueCatalog("lake", glue, **where)
