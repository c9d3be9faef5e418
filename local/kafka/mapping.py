"""Event source mappings from MSK clusters, which moto's Lambda does not know."""

from __future__ import annotations

from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.core.exceptions import JsonRESTError

DEFAULT_BATCH = 100
MOST_BATCH = 10_000
MOST_POLLERS = 2_000
MOST_LEAST_POLLERS = 200
STARTING_POSITIONS = ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")

# AWS Lambda Developer Guide, "Configuring error handling controls for Kafka event sources": in provisioned mode only.
PROVISIONED_ONLY = (
    "BisectBatchOnFunctionError",
    "FunctionResponseTypes",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
)


class KafkaMapping(EventSourceMapping):  # type: ignore[misc]
    """A mapping from one topic of a cluster."""

    @property
    def event_source_arn(self) -> str:
        """The cluster."""
        return str(self._event_source_arn)

    @event_source_arn.setter
    def event_source_arn(self, arn: str) -> None:
        self._event_source_arn = arn

    @property
    def batch_size(self) -> int:
        """Records of an event at most."""
        return int(self._batch_size)

    @batch_size.setter
    def batch_size(self, size: int | None) -> None:
        self._batch_size = DEFAULT_BATCH if size is None else int(size)

    @property
    def topic(self) -> str:
        """The topic that it reads."""
        return str(self.topics[0])

    @property
    def group(self) -> str:
        """The consumer group that it is."""
        return str((self.kafka_config or {}).get("ConsumerGroupId") or self.uuid)

    @property
    def pollers(self) -> int:
        """How many pollers share the partitions."""
        return int((self.poller_config or {}).get("MinimumPollers") or 1)


def create(backend: LambdaBackend, spec: dict[str, Any]) -> KafkaMapping:
    """Create a mapping."""
    function = backend.get_function(spec["FunctionName"]).function_arn
    where = {"RegionName": backend.region_name, "AccountId": backend.account_id, "FunctionArn": function}
    mapping = KafkaMapping({**spec, **where})
    backend._event_source_mappings[mapping.uuid] = mapping
    return mapping


def check(spec: dict[str, Any]) -> None:
    """Refuse settings that AWS refuses for a mapping from MSK, and by name those that this cloud does not do."""
    if len(spec.get("Topics") or ()) != 1:
        raise _invalid("Topics must name one topic")
    if spec.get("StartingPosition") not in STARTING_POSITIONS:
        raise _invalid(f"StartingPosition must be one of {', '.join(STARTING_POSITIONS)}")
    if spec.get("ParallelizationFactor"):
        raise _invalid("ParallelizationFactor is not for Kafka: add partitions")
    if (spec.get("AmazonManagedKafkaEventSourceConfig") or {}).get("SchemaRegistryConfig"):
        raise NotImplementedError("SchemaRegistryConfig of an event source mapping; decode in the function")
    if spec.get("FilterCriteria"):
        raise NotImplementedError("FilterCriteria of an event source mapping from Kafka; filter in the function")
    _check_pollers(spec)
    destination = (spec.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination", "")
    if destination.startswith("kafka://"):
        raise NotImplementedError(f"{destination} as an on-failure destination; use SQS, SNS or S3")


def _check_pollers(spec: dict[str, Any]) -> None:
    pollers = spec.get("ProvisionedPollerConfig") or {}
    if not pollers:
        asked = [name for name in PROVISIONED_ONLY if spec.get(name)]
        if asked:
            raise _invalid(f"{', '.join(asked)}: for Kafka in provisioned mode only; set ProvisionedPollerConfig")
    least, most = int(pollers.get("MinimumPollers") or 1), int(pollers.get("MaximumPollers") or 200)
    if not 1 <= least <= MOST_LEAST_POLLERS or not least <= most <= MOST_POLLERS:
        raise _invalid(
            f"ProvisionedPollerConfig {least} to {most}: must be 1 to {MOST_LEAST_POLLERS} to {MOST_POLLERS}"
        )


def _invalid(message: str) -> JsonRESTError:
    return JsonRESTError("InvalidParameterValueException", message)
