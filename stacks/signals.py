"""What AWS's own services say of the platform, and when that is a reason to ring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacks import jobs, names


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A metric of AWS, read every five minutes; it rings above `limit`, if it has one."""

    id: str
    meaning: str
    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str = "Sum"
    limit: float | None = None
    alarm: str | None = None  # the alarm's own name, where others ask for it


def pascal(name: str) -> str:
    """Spell a resource's name as the start of an id, without the platform's own."""
    return "".join(word.title() for word in name.removeprefix("rivermill-").split("-"))


def of_function(name: str) -> list[Signal]:
    """Watch a function."""
    dimensions = {"FunctionName": name}
    return [
        Signal(
            id=f"{pascal(name)}Errors",
            meaning=f"{name} failed more than five times in five minutes.",
            namespace="AWS/Lambda",
            name="Errors",
            dimensions=dimensions,
            limit=5,
            alarm=names.CONSUME_ERRORS if name == names.CONSUME else None,
        ),
        Signal(
            id=f"{pascal(name)}Throttles",
            meaning=f"{name} was refused more than fifty starts in five minutes: concurrency is used up.",
            namespace="AWS/Lambda",
            name="Throttles",
            dimensions=dimensions,
            limit=50,
        ),
    ]


def of_job(name: str) -> Signal:
    """Watch a Spark job (Glue guide, "Monitoring with AWS Glue Observability metrics")."""
    return Signal(
        id=f"{pascal(name)}Failures",
        meaning=f"A run of {name} failed.",
        namespace="Glue",
        name="glue.error.ALL",
        dimensions={"JobName": name, "JobRunId": "ALL", "Type": "count", "ObservabilityGroup": "error"},
        limit=0,
    )


ENDPOINT = {"EndpointName": names.PROPENSITY, "VariantName": names.VARIANT}

STREAM = (
    Signal(
        id="IteratorAge",
        meaning="The consumer is more than fifteen minutes behind the stream.",
        namespace="AWS/Lambda",
        name="IteratorAge",
        dimensions={"FunctionName": names.CONSUME},
        statistic="Maximum",
        limit=15 * 60 * 1000,
    ),
    Signal(
        id="RefusedPuts",
        meaning="Producers met the stream's limits more than ten thousand times in five minutes.",
        namespace="AWS/Kinesis",
        name="WriteProvisionedThroughputExceeded",
        dimensions={"StreamName": names.STREAM},
        limit=10_000,
    ),
    Signal(
        id="IncomingRecords",
        meaning="Records that producers put.",
        namespace="AWS/Kinesis",
        name="IncomingRecords",
        dimensions={"StreamName": names.STREAM},
    ),
    Signal(
        id="IncomingBytes",
        meaning="Bytes that producers put.",
        namespace="AWS/Kinesis",
        name="IncomingBytes",
        dimensions={"StreamName": names.STREAM},
    ),
    Signal(
        id="RefusedReads",
        meaning="Readers met the stream's limits: the consumer shares 2 MB/s a shard with them (Config.fan_out).",
        namespace="AWS/Kinesis",
        name="ReadProvisionedThroughputExceeded",
        dimensions={"StreamName": names.STREAM},
    ),
    Signal(
        id="FailedBatches",
        meaning="A batch was given up after its last retry: read its place in the queue before the stream forgets it.",
        namespace="AWS/SQS",
        name="ApproximateNumberOfMessagesVisible",
        dimensions={"QueueName": names.FAILED_BATCHES},
        statistic="Maximum",
        limit=0,
    ),
)
FRONT = (
    Signal(
        id="FrontFailures",
        meaning="The REST front failed more than fifty times in five minutes: its function or the stream does.",
        namespace="AWS/ApiGateway",
        name="5XXError",
        dimensions={"ApiName": names.FRONT},
        limit=50,
    ),
    Signal(
        id="FrontRequests",
        meaning="Requests to the REST front.",
        namespace="AWS/ApiGateway",
        name="Count",
        dimensions={"ApiName": names.FRONT},
    ),
    Signal(
        id="FrontRefusals",
        meaning="Requests that the REST front refused: their shape, their key, its rate or its quota.",
        namespace="AWS/ApiGateway",
        name="4XXError",
        dimensions={"ApiName": names.FRONT},
    ),
    Signal(
        id="FrontLatency",
        meaning="One request in a hundred to the REST front takes longer.",
        namespace="AWS/ApiGateway",
        name="Latency",
        dimensions={"ApiName": names.FRONT},
        statistic="p99",
    ),
)
SERVING = (
    Signal(
        id="EndpointErrors",
        meaning="The endpoint failed more than five times in five minutes.",
        namespace="AWS/SageMaker",
        name="Invocation5XXErrors",
        dimensions=ENDPOINT,
        limit=5,
        alarm=names.ENDPOINT_ERRORS,
    ),
    Signal(
        id="EndpointLatency",
        meaning="One answer of the model in a hundred takes more than half a second.",
        namespace="AWS/SageMaker",
        name="ModelLatency",
        dimensions=ENDPOINT,
        statistic="p99",
        limit=500_000,  # microseconds
        alarm=names.ENDPOINT_LATENCY,
    ),
)
JOBS = tuple(of_job(job.name) for job in jobs.JOBS)
FUNCTIONS = tuple(signal for name in names.FUNCTIONS for signal in of_function(name))


def of_state_machine(arn: str) -> tuple[Signal, ...]:
    """Watch the day's state machine."""
    return tuple(
        Signal(
            id=f"Daily{outcome}",
            meaning=f"{names.DAILY}: an execution ended as {outcome}.",
            namespace="AWS/States",
            name=f"Executions{outcome}",
            dimensions={"StateMachineArn": arn},
            limit=0,
        )
        for outcome in ("Failed", "TimedOut", "Aborted")
    )
