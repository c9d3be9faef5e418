"""Run state machines on moto's interpreter, with the tasks that wait for Glue and SageMaker jobs."""

from __future__ import annotations

import functools
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape
from moto.core.config import default_user_config
from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser import api, models
from moto.stepfunctions.parser.api import (
    ExecutionStatus,
    HistoryEventExecutionDataDetails,
    HistoryEventType,
    InvalidDefinition,
    TaskFailedEventDetails,
    TaskSubmittedEventDetails,
)
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils, state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_dynamodb,
    state_task_service_events,
    state_task_service_lambda,
    state_task_service_sns,
    state_task_service_sqs,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.fail import state_fail
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.responses import StepFunctionResponse

from local.cloud import Cloud

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of job that a task starts, and may wait for: how it is named, watched and stopped."""

    start: str
    describe: str
    stop: str
    status: str
    within: str | None  # the member of the description that the task returns, if not the whole
    identify: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    stop_with: Callable[[Mapping[str, Any]], dict[str, Any]]


def _sagemaker(kind: str) -> Job:
    name = f"{kind}JobName"
    snake = kind.lower()
    return Job(
        f"create_{snake}_job",
        f"describe_{snake}_job",
        f"stop_{snake}_job",
        f"{kind}JobStatus",
        None,
        lambda asked, _: {name: asked[name]},
        dict,
    )


_GLUE = Job(
    "start_job_run",
    "get_job_run",
    "batch_stop_job_run",
    "JobRunState",
    "JobRun",
    lambda asked, answered: {"JobName": asked["JobName"], "RunId": answered["JobRunId"]},
    lambda named: {"JobName": named["JobName"], "JobRunIds": [named["RunId"]]},
)

# The services that Step Functions integrates with by name, and the actions of each that run here.
JOBS = {
    "glue": {"startJobRun": _GLUE},
    "sagemaker": {f"create{kind}Job": _sagemaker(kind) for kind in ("Training", "Processing", "Transform")},
}
PLAIN = {"sagemaker": ("createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint")}
_SUCCEEDED = frozenset({"SUCCEEDED", "Completed"})
_FAILED = frozenset({"FAILED", "TIMEOUT", "ERROR", "STOPPED", "Failed", "Stopped"})
_ERROR_PREFIX = {"glue": "Glue", "sagemaker": "SageMaker"}


class JobTask(StateTaskServiceCallback):  # type: ignore[misc]
    """A task that starts a job of Glue or SageMaker and, with `.sync`, waits for its end or stops it."""

    def __init__(self) -> None:
        super().__init__(supported_integration_patterns={"sync"})

    def _get_supported_parameters(self) -> None:
        return None  # every parameter of the API

    def _validate_service_integration_is_supported(self) -> None:
        return None  # checked by name before the definition is parsed

    @property
    def _client(self) -> Any:
        return client_for(self._region, self.resource.service_name)

    @property
    def _job(self) -> Job:
        return JOBS[self.resource.service_name][self.resource.api_action]

    def _eval_service_task(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> None:
        self._region = resource_runtime_part.region
        answered = getattr(self._client, self._get_boto_service_action())(**normalised_parameters)
        answered.pop("ResponseMetadata", None)
        if self.resource.service_name == "glue":
            answered["JobName"] = normalised_parameters.get("JobName")
        env.stack.append(answered)

    def _after_eval_execution(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> None:
        if self._is_integration_pattern():
            self._add_submitted(env)
            named = self._job.identify(normalised_parameters, env.stack.pop())
            env.stack.append(self._wait(env, named))
            if not env.is_running():
                return  # timed out or stopped: nothing has succeeded
        StateTaskService._after_eval_execution(
            self, env, resource_runtime_part, normalised_parameters, state_credentials
        )

    def _wait(self, env: Any, named: dict[str, Any]) -> dict[str, Any]:
        """Return the job's description at its end; stop the job if the task ends before it."""
        job, client = self._job, self._client
        while env.is_running():
            described = getattr(client, job.describe)(**named)
            described.pop("ResponseMetadata", None)
            described = plain(described[job.within] if job.within else described, _milliseconds)
            if described[job.status] in _SUCCEEDED:
                return described  # type: ignore[no-any-return]
            if described[job.status] in _FAILED:
                raise FailureEventException(self._failure(env, _TASK_FAILED, to_json_str(described)))
            time.sleep(POLL_SECONDS)
        getattr(client, job.stop)(**job.stop_with(named))
        return {}

    def _add_submitted(self, env: Any) -> None:
        env.event_manager.add_event(
            context=env.event_history_context,
            event_type=HistoryEventType.TaskSubmitted,
            event_details=EventDetails(
                taskSubmittedEventDetails=TaskSubmittedEventDetails(
                    resource=self._get_sfn_resource(),
                    resourceType=self._get_sfn_resource_type(),
                    output=to_json_str(env.stack[-1]),
                    outputDetails=HistoryEventExecutionDataDetails(truncated=False),
                )
            ),
        )

    def _from_error(self, env: Any, ex: Exception) -> Any:
        if not isinstance(ex, ClientError):
            return super()._from_error(env=env, ex=ex)
        code, prefix = ex.response["Error"]["Code"], _ERROR_PREFIX[self.resource.service_name]
        name = code if code.endswith("Exception") else f"{code}Exception"
        return self._failure(env, CustomErrorName(f"{prefix}.{name}"), ex.response["Error"]["Message"])

    def _failure(self, env: Any, name: Any, cause: str) -> Any:
        details = TaskFailedEventDetails(
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
            error=name.error_name,
            cause=cause,
        )
        return FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(taskFailedEventDetails=details),
        )


_TASK_FAILED = StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed)


class SdkTask(state_task_service_aws_sdk.StateTaskServiceAwsSdk):  # type: ignore[misc]
    """A call of any AWS API, with names in PascalCase both ways as Step Functions writes them."""

    @staticmethod
    def _normalise_service_error_name(service_name: str) -> str:
        return error_prefix(client_for(_region[0], _BOTO_NAMES.get(service_name, service_name)))

    def _eval_service_task(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> None:
        client = client_for(resource_runtime_part.region, self._get_boto_service_name())
        method = self._get_boto_service_action()
        operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        answered = getattr(client, method)(**recased(normalised_parameters, operation.input_shape, _to_api))
        answered.pop("ResponseMetadata", None)
        env.stack.append(plain(recased(answered, operation.output_shape, _to_pascal), _iso))


_BOTO_NAMES = {"sfn": "stepfunctions"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def error_prefix(client: Any) -> str:
    """Return how a service's errors begin: its id in the spelling of AWS's SDK for Java, DynamoDb and not DynamoDB."""
    words = _WORD.findall(client.meta.service_model.service_id)
    return "".join(word.capitalize() for word in words)


def _to_api(name: str, shape: StructureShape) -> str:
    lowered = name[:1].lower() + name[1:]
    return name if name in shape.members else lowered


def _to_pascal(name: str, shape: StructureShape) -> str:
    return name[:1].upper() + name[1:]


def recased(value: Any, shape: Shape | None, rename: Callable[[str, StructureShape], str]) -> Any:
    """Return `value` with the members of each structure renamed; the keys of maps are data and stay."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = shape.members
        return {
            rename(name, shape): recased(inner, members.get(_to_api(name, shape)), rename)
            for name, inner in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [recased(inner, shape.member, rename) for inner in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {name: recased(inner, shape.value, rename) for name, inner in value.items()}
    return value


def plain(value: Any, of_time: Callable[[datetime], Any]) -> Any:
    """Return `value` as JSON can hold it: times by `of_time`, streams read.

    >>> plain({"at": datetime(2026, 3, 1, tzinfo=timezone.utc)}, _milliseconds)
    {'at': 1772323200000}
    """
    if isinstance(value, dict):
        return {name: plain(inner, of_time) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, of_time) for inner in value]
    if isinstance(value, datetime):
        return of_time(value)
    read = getattr(value, "read", None)
    value = read() if read else value
    return value.decode() if isinstance(value, bytes) else value


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _iso(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_TASKS = {
    "aws-sdk": SdkTask,
    "dynamodb": state_task_service_dynamodb.StateTaskServiceDynamoDB,
    "events": state_task_service_events.StateTaskServiceEvents,
    "glue": JobTask,
    "lambda": state_task_service_lambda.StateTaskServiceLambda,
    "sagemaker": JobTask,
    "sns": state_task_service_sns.StateTaskServiceSns,
    "sqs": state_task_service_sqs.StateTaskServiceSqs,
}


def install(cloud: Cloud) -> None:
    """Make moto interpret state machines, refuse what it cannot run, and name, stop and describe executions as AWS."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    _endpoint[:], _region[:] = [cloud.endpoint], [cloud.region]
    state_task_factory.state_task_service_for = lambda service_name: _TASKS[service_name]()
    for module in (
        lambda_eval_utils,
        state_task_service_dynamodb,
        state_task_service_events,
        state_task_service_sns,
        state_task_service_sqs,
    ):
        module.boto_client_for = lambda region, service, state_credentials=None: client_for(region, service)
    state_fail.CustomErrorName = ErrorName  # a Fail state may pass States.TaskFailed on
    _mend_errors()
    _mend_paths()
    _mend_backend(models.StepFunctionsParserBackend)
    StepFunctionResponse.describe_execution = _describe_execution
    StepFunctionResponse.get_execution_history = _get_execution_history
    StepFunctionResponse.stop_execution = _stop_execution


def _mend_errors() -> None:
    """Give the interpreter's exceptions the names by which moto writes errors on the wire."""
    kinds: list[Any] = [kind for kind in vars(api).values() if isinstance(kind, type) and issubclass(kind, AWSError)]
    for kind in kinds:
        if hasattr(kind, "status_code"):
            kind.TYPE, kind.STATUS = kind.code, kind.status_code


_DEFINITE = re.compile(r"\$(\.[\w-]+|\[\d+\]|\['[^']*'\])*")
_extract_json = json_path.extract_json


def extract_json(path: str, data: Any) -> Any:
    """Return what a JSONPath finds: one value if the path can name but one, which moto puts into a list."""
    found = json_path.parse(path).find(data) if _DEFINITE.fullmatch(path) else None
    return found[0].value if found else _extract_json(path, data)


def _mend_paths() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.") and hasattr(module, "extract_json"):
            module.extract_json = extract_json  # type: ignore[attr-defined]


def _mend_backend(backend: Any) -> None:
    parse, start = backend._validate_definition, backend.start_execution

    def validate(definition: str) -> None:
        check(definition)
        parse(definition=definition)

    def start_execution(self: Any, state_machine_arn: str, name: str | None, *given: Any) -> Any:
        return start(self, state_machine_arn, name or str(uuid.uuid4()), *given)

    if not getattr(start, "names_the_nameless", False):
        start_execution.names_the_nameless = True  # type: ignore[attr-defined]
        backend._validate_definition = staticmethod(validate)
        backend.start_execution = start_execution


def check(definition: str) -> None:
    """Refuse a definition that asks for what the laptop cloud does not run. Raises `InvalidDefinition`."""
    try:
        states = json.loads(definition)
    except ValueError as wrong:
        raise InvalidDefinition(message=f"the definition is not JSON: {wrong}") from wrong
    for name, state in _states(states):
        wrong_part = _beyond(state)
        if wrong_part:
            raise InvalidDefinition(message=f"state {name}: the laptop cloud does not run {wrong_part}")


def _states(machine: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, state in (machine.get("States") or {}).items():
        yield name, state
        for inner in [*state.get("Branches", []), state.get("ItemProcessor") or {}, state.get("Iterator") or {}]:
            yield from _states(inner)


def _beyond(state: Mapping[str, Any]) -> str | None:
    """Return what in a state is beyond us, if anything is."""
    if state.get("Type") == "Map":
        distributed = (state.get("ItemProcessor") or {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
        return "a distributed Map" if distributed or "ItemReader" in state else None
    resource = state.get("Resource", "")
    if state.get("Type") != "Task" or ":lambda:" in resource:
        return None
    _, _, integration = resource.partition(":states:::")
    action, _, condition = integration.partition(".")
    service, _, call = action.partition(":")
    if service in JOBS:
        known = call in JOBS[service] if condition == "sync" else call in (*JOBS[service], *PLAIN.get(service, ()))
        return None if known and condition in {"", "sync"} else resource
    return None if service in _TASKS and not condition else resource


def _stop_execution(response: Any) -> ActionResult:
    backend = response.stepfunction_backend
    execution = backend.describe_execution(response._get_param("executionArn"))
    if execution.exec_status == ExecutionStatus.RUNNING:
        error, cause = response._get_param("error"), response._get_param("cause")
        execution.stop_date = datetime.now(timezone.utc)
        execution.stop(stop_date=execution.stop_date, error=error, cause=cause)
        execution.exec_status, execution.error, execution.cause = ExecutionStatus.ABORTED, error, cause
    return ActionResult({"stopDate": execution.stop_date})


def _describe_execution(response: Any) -> ActionResult:
    execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))
    described = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "error": execution.error,
        "cause": execution.cause,
    }
    if execution.exec_status == ExecutionStatus.SUCCEEDED:
        described |= {"output": to_json_str(execution.output), "outputDetails": {"included": True}}
    return ActionResult({name: value for name, value in described.items() if value is not None})


def _get_execution_history(response: Any) -> ActionResult:
    events = response.stepfunction_backend.get_execution_history(response._get_param("executionArn"))["events"]
    return ActionResult({"events": events[::-1] if response._get_param("reverseOrder") else events})


_endpoint: list[str] = []
_region: list[str] = []
_making = threading.Lock()


def client_for(region: str, service: str) -> Any:
    """Return a client for the calls of tasks, made once; it never retries, since that is what a state's Retry says."""
    with _making:
        return _client(_endpoint[0], region, service)


@functools.cache
def _client(endpoint: str, region: str, service: str) -> Any:
    never = 99_999_999  # Step Functions' own longest task
    settings = Config(
        parameter_validation=False,
        retries={"total_max_attempts": 1},
        connect_timeout=never,
        read_timeout=never,
        max_pool_connections=32,
    )
    session = boto3.Session("laptop", "laptop", region_name=region)
    return session.client(service, endpoint_url=endpoint, config=settings)
