"""Athena: its SQL run by DuckDB over the current snapshots of the Glue catalogue's tables."""

from __future__ import annotations

from moto.athena import urls

from local.athena import api
from local.cloud import Cloud


def install(cloud: Cloud) -> None:
    """Answer Athena's query calls in moto's stead; its other calls stay moto's."""
    api.use(cloud)
    urls.url_paths = {"{0}/$": api.AthenaResponse.dispatch}
