"""Deploy endpoints: a process for each variant, replaced blue by green, in steps, with alarms that roll back."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import HTTPClientError
from moto.core.responses import ActionResult
from moto.sagemaker import models
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from local.cloud import Cloud
from local.sagemaker.container import JobFailed
from local.sagemaker.record import now
from local.sagemaker.server import HEALTH_SECONDS, Renewed, container_of

LOG_GROUP = "/aws/sagemaker/Endpoints"
# A canary's wait is minutes long, so that traffic can speak; here the traffic is a test's.
WAITS_SHORTENED = 60.0
POLL_SECONDS = 0.2
COPY_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of a deployed configuration: its name and the process that serves it."""

    name: str
    server: Renewed


@dataclass(slots=True)
class Fleet:
    """The processes of one endpoint configuration."""

    config_name: str
    production_variants: list[dict[str, Any]]
    variants: dict[str, Variant] = field(default_factory=dict)

    def end(self) -> None:
        """End every process."""
        for variant in self.variants.values():
            variant.server.end()


@dataclass(slots=True)
class Deployment:
    """What an endpoint runs: the fleet that serves, and the new one with its share of the traffic."""

    serving: Fleet | None = None
    coming: Fleet | None = None
    share: float = 0.0
    choose: random.Random = field(default_factory=random.Random)
    changing: threading.Lock = field(default_factory=threading.Lock)

    def fleet(self) -> Fleet | None:
        """Choose the fleet for one request."""
        coming = self.coming
        return coming if coming and self.choose.random() < self.share else self.serving


deployments: dict[str, Deployment] = {}


def variant_for(endpoint: Any, target: str | None) -> Variant:
    """Choose the variant that answers one request: the target, else by the variants' weights.

    Raises moto's `ValidationError`.
    """
    deployment = deployments.get(endpoint.endpoint_name)
    fleet = deployment.fleet() if deployment else None
    if deployment is None or fleet is None:
        raise ValidationError(f"Endpoint {endpoint.arn} is {endpoint.endpoint_status}")
    if target:
        if target not in fleet.variants:
            raise ValidationError(f"Variant {target} of endpoint {endpoint.endpoint_name} not found.")
        return fleet.variants[target]
    shown = endpoint.production_variants if fleet is deployment.serving else fleet.production_variants
    weights = [_weight(variant) for variant in shown]
    return fleet.variants[deployment.choose.choices(shown, weights)[0]["VariantName"]]


def _weight(variant: Mapping[str, Any]) -> float:
    return float(variant.get("CurrentWeight", variant.get("InitialVariantWeight", 1.0)))


def install(cloud: Cloud) -> None:
    """Make the calls on models, configurations and endpoints deploy processes."""
    backend: Any = models.SageMakerModelBackend
    _refuse_taken_names(backend)
    models.FakeEndpointConfig.validate_instance_type = _check_instance_type
    make, delete = _original(backend, "create_endpoint"), _original(backend, "delete_endpoint")

    def create_endpoint(self: Any, endpoint_name: str, endpoint_config_name: str, tags: Any) -> Any:
        if endpoint_name in self.endpoints:
            raise ValidationError(f"Cannot create already existing endpoint {endpoint_name!r}.")
        endpoint = make(self, endpoint_name=endpoint_name, endpoint_config_name=endpoint_config_name, tags=tags)
        endpoint.endpoint_status = "Creating"
        deployments[endpoint_name] = Deployment()
        _in_background(_create, cloud, self, endpoint)
        return endpoint

    def delete_endpoint(self: Any, endpoint_name: str) -> None:
        delete(self, endpoint_name)
        deployment = deployments.pop(endpoint_name, Deployment())
        for fleet in filter(None, (deployment.serving, deployment.coming)):
            fleet.end()

    def update_endpoint(response: Any) -> ActionResult:
        name, config = response._get_param("EndpointName"), response._get_param("EndpointConfigName")
        return ActionResult({"EndpointArn": update(cloud, response.sagemaker_backend, name, config, response)})

    backend.create_endpoint, backend.delete_endpoint = create_endpoint, delete_endpoint
    SageMakerResponse.update_endpoint = update_endpoint
    threading.Thread(target=_copy_logs, args=(cloud,), daemon=True).start()


_originals: dict[str, Callable[..., Any]] = {}


def _original(backend: Any, name: str) -> Callable[..., Any]:
    """Return moto's own method, also when we are installed a second time."""
    return _originals.setdefault(name, getattr(backend, name))


def _refuse_taken_names(backend: Any) -> None:
    for name, kept_in, keyword in (
        ("create_model", "_models", "model_name"),
        ("create_endpoint_config", "endpoint_configs", "endpoint_config_name"),
    ):
        setattr(backend, name, _once(_original(backend, name), kept_in, keyword))


def _once(create: Callable[..., Any], kept_in: str, keyword: str) -> Callable[..., Any]:
    def create_once(self: Any, **given: Any) -> Any:
        if given[keyword] in getattr(self, kept_in):
            what = keyword.removesuffix("_name").replace("_", " ")
            raise ValidationError(f"Cannot create already existing {what} {given[keyword]!r}.")
        return create(self, **given)

    return create_once


def _check_instance_type(config: Any, instance_type: str) -> None:
    """Take every ml. instance: moto's own list is years old."""
    if not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", instance_type):
        raise ValidationError(f"InstanceType {instance_type}: write it as in ml.m5.large")


def update(cloud: Cloud, backend: Any, name: str, config_name: str, asked: Any) -> str:
    """Begin to replace what an endpoint serves, and return its ARN. Raises moto's `ValidationError`."""
    backend.describe_endpoint(name)
    config = backend.describe_endpoint_config(config_name)
    endpoint = backend.endpoints[name]
    if endpoint.endpoint_status not in {"InService", "Failed"}:
        raise ValidationError(f"Cannot update in-progress endpoint {endpoint.arn!r}: it is {endpoint.endpoint_status}.")
    endpoint.endpoint_status, endpoint.failure_reason = "Updating", None
    endpoint.last_modified_time = now()
    policy = asked._get_param("DeploymentConfig") if asked is not None else None
    _in_background(_update, cloud, backend, endpoint, config, policy or {})
    return str(endpoint.arn)


def _in_background(work: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def _create(cloud: Cloud, backend: Any, endpoint: Any) -> None:
    deployment = deployments[endpoint.endpoint_name]
    with _ending(endpoint, "Failed"), deployment.changing:
        fleet = _start_fleet(cloud, backend, endpoint, backend.describe_endpoint_config(endpoint.endpoint_config_name))
        deployment.serving = fleet
        _show(endpoint, fleet)
        _end_if_deleted(endpoint, fleet)


def _update(cloud: Cloud, backend: Any, endpoint: Any, config: Mapping[str, Any], policy: Mapping[str, Any]) -> None:
    deployment = deployments[endpoint.endpoint_name]
    after_failure = "InService" if deployment.serving else "Failed"
    with _ending(endpoint, after_failure), deployment.changing:
        fleet = _start_fleet(cloud, backend, endpoint, config)
        try:
            _shift(cloud, deployment, fleet, policy)
        except JobFailed:
            deployment.coming, deployment.share = None, 0.0
            fleet.end()
            raise
        former, deployment.serving = deployment.serving, fleet
        deployment.coming, deployment.share = None, 0.0
        endpoint.endpoint_config_name = fleet.config_name
        endpoint.last_deployment_config = dict(policy) or None
        _show(endpoint, fleet)
        if former:
            former.end()
        _end_if_deleted(endpoint, fleet)


@contextlib.contextmanager
def _ending(endpoint: Any, after_failure: str) -> Iterator[None]:
    """Say on the endpoint how a deployment ended."""
    try:
        yield
    except JobFailed as failure:
        endpoint.failure_reason, endpoint.endpoint_status = str(failure), after_failure
    except Exception as failure:  # whatever breaks must end the deployment, or its caller waits for ever
        log.exception("%s", endpoint.arn)
        endpoint.failure_reason, endpoint.endpoint_status = f"InternalServerError: {failure}", after_failure
    else:
        endpoint.endpoint_status = "InService"
    endpoint.last_modified_time = now()


def _end_if_deleted(endpoint: Any, fleet: Fleet) -> None:
    """End the processes of an endpoint that was deleted while they started."""
    if endpoint.endpoint_name not in deployments:
        fleet.end()


def _start_fleet(cloud: Cloud, backend: Any, endpoint: Any, config: Mapping[str, Any]) -> Fleet:
    """Start a process for each variant and wait for their health. Raises `JobFailed` with none left running."""
    fleet = Fleet(config["EndpointConfigName"], config["ProductionVariants"])
    home = cloud.state / "sagemaker" / "endpoints" / endpoint.endpoint_name / uuid.uuid4().hex[:8]
    group = f"{LOG_GROUP}/{endpoint.endpoint_name}"
    for shown in fleet.production_variants:
        name, given = shown["VariantName"], container_of(backend, shown["ModelName"])
        server = Renewed(cloud, given, home / name, group, f"{name}/i-{home.name}")
        fleet.variants[name] = Variant(name, server)
    try:
        with ThreadPoolExecutor(len(fleet.variants)) as starts:
            list(starts.map(_start, fleet.production_variants, fleet.variants.values()))
    except JobFailed:
        fleet.end()
        raise
    return fleet


def _start(shown: Mapping[str, Any], variant: Variant) -> None:
    if not variant.server.start(shown.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTH_SECONDS)):
        raise JobFailed(
            f"The primary container for production variant {variant.name} did not pass the ping health check. "
            f"Please check CloudWatch logs for this endpoint, in {variant.server.group}."
        )


def _show(endpoint: Any, fleet: Fleet) -> None:
    """Describe the variants as DescribeEndpoint does."""
    endpoint.production_variants = [
        {
            "VariantName": shown["VariantName"],
            "CurrentWeight": _weight(shown),
            "DesiredWeight": _weight(shown),
            "CurrentInstanceCount": shown.get("InitialInstanceCount", 1),
            "DesiredInstanceCount": shown.get("InitialInstanceCount", 1),
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now()}
                for image in [fleet.variants[shown["VariantName"]].server.given["Image"]]
            ],
        }
        for shown in fleet.production_variants
    ]


def _shift(cloud: Cloud, deployment: Deployment, fleet: Fleet, policy: Mapping[str, Any]) -> None:
    """Move the traffic to a new fleet in the policy's steps. Raises `JobFailed` if an alarm rings meanwhile."""
    alarms = [alarm["AlarmName"] for alarm in policy.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    blue_green = policy.get("BlueGreenUpdatePolicy", {})
    routing = blue_green.get("TrafficRoutingConfiguration", {})
    _check_alarms(cloud, alarms)
    deployment.coming = fleet
    for share in steps(routing):
        deployment.share = share
        _watch(cloud, alarms, routing.get("WaitIntervalInSeconds", 0) / WAITS_SHORTENED)
    deployment.share = 1.0
    _watch(cloud, alarms, blue_green.get("TerminationWaitInSeconds", 0) / WAITS_SHORTENED)


def steps(routing: Mapping[str, Any]) -> list[float]:
    """Return the shares of the traffic that a new fleet gets, one after the other.

    >>> steps({"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}})
    [0.1, 1.0]
    >>> steps({"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50}})
    [0.5, 1.0]
    """
    if routing.get("Type") == "CANARY":
        return [float(routing["CanarySize"]["Value"]) / 100, 1.0]
    if routing.get("Type") == "LINEAR":
        step = float(routing["LinearStepSize"]["Value"]) / 100
        return [min(1.0, step * n) for n in range(1, int(-(-1 // step)) + 1)]
    return [1.0]


def _watch(cloud: Cloud, alarms: list[str], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while True:
        _check_alarms(cloud, alarms)
        if time.monotonic() >= limit:
            return
        time.sleep(min(POLL_SECONDS, seconds))


def _check_alarms(cloud: Cloud, alarms: list[str]) -> None:
    if not alarms:
        return
    found = cloud.client("cloudwatch").describe_alarms(AlarmNames=alarms, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    ringing = [
        a["AlarmName"]
        for kind in ("MetricAlarms", "CompositeAlarms")
        for a in found.get(kind, [])
        if a["StateValue"] == "ALARM"
    ]
    if ringing:
        raise JobFailed(f"One or more configured alarms went into alarm during the deployment: {', '.join(ringing)}")


def _copy_logs(cloud: Cloud) -> None:
    """Send what the serving processes print to CloudWatch Logs, for as long as the cloud lives."""
    while True:
        time.sleep(COPY_SECONDS)
        for deployment in list(deployments.values()):
            for variant in list(deployment.serving.variants.values() if deployment.serving else []):
                try:
                    variant.server.copy_log()
                except HTTPClientError:
                    return  # the cloud is closed
