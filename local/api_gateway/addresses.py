"""Where a REST API answers here, and how its address in AWS is turned into that."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from local.cloud import Cloud

_HOST = re.compile(r"^(?P<api>[a-z0-9]+)\.execute-api\.localhost(:\d+)?$")
_PATH = re.compile(r"^/restapis/(?P<api>[^/]+)/(?P<stage>[^/]+)/_user_request_(?P<path>/.*)?$")
_AWS = re.compile(r"https://(?P<api>[a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com(/(?P<stage>[A-Za-z0-9_-]+))?")


class Address(NamedTuple):
    """What a request is for."""

    api: str
    stage: str
    path: str


def address(cloud: Cloud, api: str, stage: str) -> str:
    """Return the address of a stage, in the place of `https://<api>.execute-api.<region>.amazonaws.com/<stage>`."""
    return f"{cloud.endpoint}/restapis/{api}/{stage}/_user_request_"


def addressed(host: str, path: str) -> Address | None:
    """Read the address of a request: by path, or by the host `<api>.execute-api.localhost` and then the stage.

    >>> addressed("localhost:4566", "/restapis/a1/v1/_user_request_/events")
    Address(api='a1', stage='v1', path='/events')
    >>> addressed("a1.execute-api.localhost:4566", "/v1/events")
    Address(api='a1', stage='v1', path='/events')
    >>> addressed("localhost:4566", "/restapis/a1/stages")
    """
    if found := _PATH.match(path):
        return Address(found["api"], found["stage"], found["path"] or "/")
    if found := _HOST.match(host.lower()):
        stage, _, rest = path.lstrip("/").partition("/")
        return Address(found["api"], stage, f"/{rest}")
    return None


def here(cloud: Cloud, text: str, apis: Collection[str]) -> str:
    """Turn AWS's addresses of APIs that are here into the cloud's own; a template can only spell AWS's."""

    def turned(found: re.Match[str]) -> str:
        known = found["api"] in apis and found["stage"]
        return address(cloud, found["api"], found["stage"]) if known else found[0]

    return _AWS.sub(turned, text)
