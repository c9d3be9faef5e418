"""CloudFormation: templates with change sets, updates and rollback, over the services' own calls."""

from __future__ import annotations

from moto.cloudformation import urls

from local.cloud import Cloud
from local.cloudformation import api


def install(cloud: Cloud) -> None:
    """Answer CloudFormation's calls in moto's stead."""
    api._registry[:] = [api.Registry(cloud)]
    urls.url_paths = {"{0}/$": api.CloudFormationResponse.dispatch}
