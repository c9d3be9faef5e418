"""State machines through boto3. Source: AWS Step Functions Developer Guide and the Amazon States Language."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from tests.local.builders import any_name, make_function, make_queue, messages, until
from tests.local.jobs import (
    BUCKET,
    SERVE,
    execute,
    finished_execution,
    glue_run,
    make_glue_job,
    make_machine,
    processing_request,
    put,
    read,
    training_request,
)
from tests.local.test_glue_runs import SLEEPING
from tests.local.test_sagemaker_endpoints import make_model

pytestmark = pytest.mark.slow

PASS = {"Type": "Pass", "End": True}


def task(resource: str, parameters: Any, **more: Any) -> dict[str, Any]:
    """Return a task state, the last one unless `more` says what is next."""
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, **more}
    return state if "Next" in more else {**state, "End": True}


def ended(cloud: Cloud, states: dict[str, Any], given: Any = None, **settings: Any) -> Any:
    """Make a state machine, run it to its end and return its description with its output read."""
    found = finished_execution(cloud, execute(cloud, make_machine(cloud, states, **settings), given))
    return found | {"output": json.loads(found.get("output", "null"))}


def history(cloud: Cloud, execution: str, **settings: Any) -> Any:
    return cloud.client("stepfunctions").get_execution_history(executionArn=execution, **settings)["events"]


def test_one_machine_waits_for_a_glue_job_a_training_and_a_processing_and_tells(cloud: Cloud) -> None:
    url, arn = make_queue(cloud)
    topic = cloud.client("sns").create_topic(Name=any_name("topic"))["TopicArn"]
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    training = training_request(cloud, strength="1")
    checking = processing_request(
        cloud,
        "import os, sys; open(sys.argv[2] + '/found', 'w').write(' '.join(os.listdir(sys.argv[1])))",
        *("/opt/ml/processing/model", "/opt/ml/processing/out"),
    )
    model = {"S3DataType": "S3Prefix", "S3InputMode": "File", "LocalPath": "/opt/ml/processing/model"}
    model["S3Uri.$"] = "$.training.ModelArtifacts.S3ModelArtifacts"
    checking["ProcessingInputs"].append({"InputName": "model", "S3Input": model})
    job = make_glue_job(cloud, "import sys; print(sys.argv)")
    arguments = {"--day.$": "$.day", "--run.$": "$$.Execution.Name"}
    found = ended(
        cloud,
        {
            "Prepare": task(
                "glue:startJobRun.sync",
                {"JobName": job, "Arguments": arguments},
                ResultPath="$.prepared",
                Next="Train",
            ),
            "Train": task("sagemaker:createTrainingJob.sync", training, ResultPath="$.training", Next="Check"),
            "Check": task("sagemaker:createProcessingJob.sync", checking, ResultPath="$.checked", Next="Tell"),
            "Tell": task("sns:publish", {"TopicArn": topic, "Message.$": "$.checked.ProcessingJobStatus"}),
        },
        {"day": "2026-03-01"},
    )

    assert found["status"] == "SUCCEEDED", found
    run = glue_run(cloud, job, _only_run(cloud, job))
    assert run["Arguments"] == {"--day": "2026-03-01", "--run": found["name"]}
    assert read(cloud, f"s3://{BUCKET}/processed/{checking['ProcessingJobName']}/found") == b"model.tar.gz"
    assert json.loads(until(lambda: messages(cloud, url))[0])["Message"] == "Completed"


def _only_run(cloud: Cloud, job: str) -> str:
    (run,) = cloud.client("glue").get_job_runs(JobName=job)["JobRuns"]
    return str(run["Id"])


def test_a_task_that_waits_returns_the_jobs_description_with_times_in_milliseconds(cloud: Cloud) -> None:
    """Manage Glue jobs with Step Functions: the output of startJobRun.sync is the job run."""
    job = make_glue_job(cloud, "pass")
    before = time.time() * 1000
    output = ended(cloud, {"Run": task("glue:startJobRun.sync", {"JobName": job})})["output"]

    assert (output["JobRunState"], output["JobName"]) == ("SUCCEEDED", job)
    assert before - 1000 < output["StartedOn"] <= output["CompletedOn"] < time.time() * 1000 + 1000


def test_a_failed_job_is_caught_with_its_reason(cloud: Cloud) -> None:
    job = make_glue_job(cloud, "raise ValueError('no rows')")
    caught = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Give up"}]
    found = ended(
        cloud,
        {
            "Run": task("glue:startJobRun.sync", {"JobName": job}, Catch=caught),
            "Give up": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
        },
    )

    assert (found["status"], found["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(found["cause"])["ErrorMessage"] == "ValueError: no rows"


def test_a_failed_training_fails_its_task_with_the_description_as_cause(cloud: Cloud) -> None:
    request = training_request(cloud, "raise ValueError('one class alone')")
    found = ended(cloud, {"Train": task("sagemaker:createTrainingJob.sync", request)})

    assert found["error"] == "States.TaskFailed"
    assert "ValueError: one class alone" in json.loads(found["cause"])["FailureReason"]


def test_a_task_that_takes_too_long_times_out_and_its_job_is_stopped(cloud: Cloud) -> None:
    job = make_glue_job(cloud, SLEEPING)
    found = ended(cloud, {"Run": task("glue:startJobRun.sync", {"JobName": job}, TimeoutSeconds=5)})

    assert (found["status"], found["error"]) == ("FAILED", "States.Timeout")
    until(lambda: glue_run(cloud, job, _only_run(cloud, job))["JobRunState"] == "STOPPED")


def test_a_machine_that_takes_too_long_times_out_and_its_job_is_stopped(cloud: Cloud) -> None:
    request = processing_request(cloud, SLEEPING)
    found = ended(cloud, {"Run": task("sagemaker:createProcessingJob.sync", request)}, TimeoutSeconds=5)
    describe = cloud.client("sagemaker").describe_processing_job

    assert found["status"] == "TIMED_OUT"
    assert found["stopDate"] > found["startDate"]
    until(lambda: describe(ProcessingJobName=request["ProcessingJobName"])["ProcessingJobStatus"] == "Stopped")


def test_a_stopped_execution_is_aborted_and_its_job_is_stopped(cloud: Cloud) -> None:
    job = make_glue_job(cloud, SLEEPING)
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1}]
    machine = make_machine(cloud, {"Run": task("glue:startJobRun.sync", {"JobName": job}, Retry=retry)})
    execution = execute(cloud, machine)
    until(lambda: any(event["type"] == "TaskSubmitted" for event in history(cloud, execution)))
    cloud.client("stepfunctions").stop_execution(executionArn=execution, error="Enough", cause="a test")
    found = finished_execution(cloud, execution)

    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Enough", "a test")
    until(lambda: glue_run(cloud, job, _only_run(cloud, job))["JobRunState"] == "STOPPED")
    until(lambda: history(cloud, execution)[-1]["type"] == "ExecutionAborted")
    assert not any(event["type"] in {"TaskSucceeded", "TaskFailed"} for event in history(cloud, execution))


def test_a_function_that_fails_is_tried_again_with_backoff(cloud: Cloud) -> None:
    name = make_function(
        cloud,
        """
        tries = []
        class Busy(Exception): pass
        def handle(event, context):
            tries.append(1)
            if len(tries) < 3:
                raise Busy("not yet")
            return {"tries": len(tries), "given": event}
        """,
    )
    retry = [{"ErrorEquals": ["Busy"], "IntervalSeconds": 1, "BackoffRate": 2, "MaxAttempts": 3}]
    call = task("lambda:invoke", {"FunctionName": name, "Payload.$": "$"}, Retry=retry, OutputPath="$.Payload")
    started = time.monotonic()
    found = ended(cloud, {"Call": call}, {"a": 1})

    assert found["output"] == {"tries": 3, "given": {"a": 1}}
    assert time.monotonic() - started > 3  # 1 s, then 2 s


def test_calls_of_any_api_read_and_write_names_in_pascal_case(cloud: Cloud) -> None:
    """Learning to use AWS service SDK integrations: parameters are in PascalCase, also where the API's are not."""
    call = task("aws-sdk:sfn:describeExecution", {"ExecutionArn.$": "$$.Execution.Id"})
    found = ended(cloud, {"Look": call})

    assert found["output"]["Status"] == "RUNNING"
    assert found["output"]["StartDate"].endswith("Z")
    assert found["output"]["ExecutionArn"] == found["executionArn"]


def test_an_error_of_an_api_has_the_services_name(cloud: Cloud) -> None:
    call = task("aws-sdk:sagemaker:describeEndpoint", {"EndpointName": "nowhere"})
    caught = [{"ErrorEquals": ["SageMaker.SageMakerException"], "Next": "Fine"}]
    found = ended(cloud, {"Look": call | {"Catch": caught}, "Fine": PASS})

    assert found["status"] == "SUCCEEDED"


def test_states_choose_branch_map_and_compute(cloud: Cloud) -> None:
    branch = {"StartAt": "B", "States": {"B": {"Type": "Pass", "Result": "b", "End": True}}}
    doubled = {"Type": "Pass", "Parameters": {"twice.$": "States.MathAdd($.n, $.n)"}, "End": True}
    found = ended(
        cloud,
        {
            "Pick": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.go", "BooleanEquals": True, "Next": "Wait"}],
                "Default": "Stop",
            },
            "Stop": {"Type": "Fail"},
            "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Both"},
            "Both": {"Type": "Parallel", "Branches": [branch, branch], "ResultPath": "$.both", "Next": "Each"},
            "Each": {
                "Type": "Map",
                "ItemsPath": "$.numbers",
                "ItemSelector": {"n.$": "$$.Map.Item.Value"},
                "ItemProcessor": {"StartAt": "Double", "States": {"Double": doubled}},
                "ResultPath": "$.each",
                "Next": "Say",
            },
            "Say": {
                "Type": "Pass",
                "Parameters": {"said.$": "States.Format('{}-{}', $.both[0], $.each[1].twice)"},
                "End": True,
            },
        },
        {"go": True, "numbers": [1, 2]},
    )

    assert found["output"] == {"said": "b-4"}


def test_a_name_runs_once(cloud: Cloud) -> None:
    """StartExecution is idempotent for a running execution of the same name and input, and refuses the name else."""
    machine = make_machine(cloud, {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}})
    first = execute(cloud, machine, {"day": 1}, name="daily-1")

    assert execute(cloud, machine, {"day": 1}, name="daily-1") == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        execute(cloud, machine, {"day": 2}, name="daily-1")
    cloud.client("stepfunctions").stop_execution(executionArn=first)
    finished_execution(cloud, first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        execute(cloud, machine, {"day": 1}, name="daily-1")


def test_the_history_has_each_state_in_order_with_real_times(cloud: Cloud) -> None:
    states = {"One": {"Type": "Wait", "Seconds": 1, "Next": "Two"}, "Two": PASS}
    machine, began = make_machine(cloud, states), time.time()
    execution = execute(cloud, machine)
    finished_execution(cloud, execution)
    took = time.time() - began
    events = history(cloud, execution)
    entered = {e["stateEnteredEventDetails"]["name"]: e["timestamp"] for e in events if "stateEnteredEventDetails" in e}
    times = [event["timestamp"] for event in events]

    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert times == sorted(times)
    assert 0.9 < (entered["Two"] - entered["One"]).total_seconds() <= took
    assert abs(times[0].timestamp() - began) <= took + 1
    assert history(cloud, execution, reverseOrder=True) == events[::-1]


@pytest.mark.parametrize(
    "state",
    [
        task("emr-serverless:startJobRun.sync", {}),
        task("ecs:runTask.sync", {}),
        task("sagemaker:createLabelingJob.sync", {}),
        task("sqs:sendMessage.waitForTaskToken", {}),
        {"Type": "Map", "ItemReader": {}, "ItemProcessor": {"StartAt": "A", "States": {"A": PASS}}, "End": True},
    ],
    ids=["emr", "ecs", "labeling", "token", "distributed"],
)
def test_what_the_laptop_does_not_run_is_refused_by_name_when_the_machine_is_made(cloud: Cloud, state: Any) -> None:
    inner = {"StartAt": "Beyond", "States": {"Beyond": state}}
    named = state.get("Resource", "a distributed Map")

    with pytest.raises(
        ClientError, match=r"InvalidDefinition.*state Beyond: the laptop cloud does not run "
    ) as refusal:
        make_machine(cloud, {"Outer": {"Type": "Parallel", "Branches": [inner], "End": True}})
    assert named in str(refusal.value)


def test_a_batch_transform_is_waited_for(cloud: Cloud) -> None:
    name = any_name("transform")
    put(cloud, f"given/{name}/part.csv", "0,0\n1,1\n")
    request = {
        "TransformJobName": name,
        "ModelName": make_model(cloud, SERVE),
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/given/{name}/"}},
            "ContentType": "text/csv",
        },
        "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/scored/{name}/", "Accept": "text/csv"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    found = ended(cloud, {"Score": task("sagemaker:createTransformJob.sync", request)})

    assert found["status"] == "SUCCEEDED", found
    low, high = map(float, read(cloud, f"s3://{BUCKET}/scored/{name}/part.csv.out").split())
    assert low < 0.5 < high


def test_a_second_try_can_have_a_name_of_its_own(cloud: Cloud) -> None:
    """Retry of a training needs another job name, made from the context object's State.RetryCount."""
    name = any_name("training")
    request = training_request(cloud, "raise ValueError('again')")
    request["TrainingJobName.$"] = f"States.Format('{name}-{{}}', $$.State.RetryCount)"
    del request["TrainingJobName"]
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    found = ended(cloud, {"Train": task("sagemaker:createTrainingJob.sync", request, Retry=retry)})
    jobs = cloud.client("sagemaker").list_training_jobs(NameContains=name)["TrainingJobSummaries"]

    assert found["error"] == "States.TaskFailed"
    assert {job["TrainingJobName"] for job in jobs} == {f"{name}-0", f"{name}-1"}
