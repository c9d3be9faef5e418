"""API Gateway's REST APIs: the requests of clients, with keys, throttles, quotas, validation and functions behind.

What is declared (APIs, methods, models, plans, keys) is kept by moto; here it is served.
"""

from __future__ import annotations

import functools

from local import routes
from local.api_gateway.front import rest_apis
from local.cloud import Cloud


@functools.cache
def install(cloud: Cloud) -> None:
    """Answer the requests of clients to REST APIs."""
    apis = rest_apis(cloud)
    routes.claim(apis.claims, apis)
