"""Run SageMaker's jobs and endpoints as processes of this machine, with the containers' contract."""

from __future__ import annotations

from local.cloud import Cloud
from local.sagemaker import endpoints, invocations, jobs, processing, registry, training, transform


def install(cloud: Cloud) -> None:
    """Make moto's SageMaker run what it is asked to."""
    for kind in (training.KIND, processing.KIND, transform.KIND):
        jobs.install(cloud, kind)
    registry.install(cloud)
    endpoints.install(cloud)
    invocations.install(cloud)
