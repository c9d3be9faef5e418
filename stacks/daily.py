"""The day's work, step by step, in the Amazon States Language (JSONPath)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_jobs.propensity.settings import TRAINING_METRICS, VALIDATE, VALIDATE_ENTRYPOINT
from stacks import names
from stacks.jobs import DAILY

State = dict[str, Any]

CODE = "/opt/ml/processing/input/code"  # where VALIDATE_ENTRYPOINT looks for it
DISK_GB = 30
POLL_SECONDS = 10
TAGS = [{"Key": "project", "Value": "rivermill"}]

RUN = "$$.Execution.Name"
PLAN = "$.plan.Payload"
# A second attempt is another job to SageMaker, which takes each name once.
JOB_NAME = f"States.Format('{{}}-{{}}', {PLAN}.job, $$.State.RetryCount)"

FAILED = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Notify"}]
LAMBDA_FAULTS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stage's day is worked: what the definition needs to know of the account."""

    key: str
    notices: str
    image: str
    training_role: str
    training_instance: str
    source: str


def definition(place: Place) -> State:
    """Define the day: curate, readout, sessions, features, dataset, plan, train, validate, register, deploy."""
    return {
        "Comment": "One day of events becomes features, a judged model and, if it is better, the endpoint's model.",
        "StartAt": "Asked",
        "TimeoutSeconds": 12 * 3600,
        "States": {**refinement(place), **learning(place), **deployment(), **endings(place)},
    }


def refinement(place: Place) -> dict[str, State]:
    """Check the input, then run the Spark jobs in turn; the day goes on without one that is not vital, and says so."""
    following = [*(job.title for job in DAILY[1:]), "Plan"]
    steps: dict[str, State] = {}
    for job, after in zip(DAILY, following, strict=True):
        steps[job.title] = spark_step(job.name, after)
        if not job.vital:
            told, path = f"{job.title}Failed", f"$.{job.title.lower()}_error"
            steps[job.title]["Catch"] = [{"ErrorEquals": ["States.ALL"], "ResultPath": path, "Next": told}]
            steps[told] = notice(place, f"goes on without {job.title}", path, after)
    day: State = {"Variable": "$.day"}  # that the calendar has it, the first job sees
    said = {"And": [day | {"IsPresent": True}, day | {"IsString": True}, day | {"StringMatches": "*-*-*"}]}
    return {
        "Asked": choice({**said, "Next": DAILY[0].title}, default="NoDay"),
        "NoDay": {"Type": "Fail", "Error": "NoDay", "Cause": 'Start it with {"day": "YYYY-MM-DD"}.'},
        **steps,
    }


def learning(place: Place) -> dict[str, State]:
    """Train if there is enough to learn from, judge, and register what passes."""
    return {
        "Plan": function_step(names.PLAN, {"run.$": RUN, "day.$": "$.day"}, "plan", "Trainable"),
        "Trainable": choice(holds(f"{PLAN}.trainable", "Train"), default="NothingToTrain"),
        "NothingToTrain": {"Type": "Succeed", "OutputPath": PLAN},
        "Train": train_step(place),
        "Validate": validate_step(place),
        "Register": function_step(
            names.REGISTER, {"plan.$": PLAN, "model_data.$": "$.train.model_data"}, "register", "Registered"
        ),
        "Registered": choice(holds("$.register.Payload.registered", "Deploy"), default="ChampionStays"),
        "ChampionStays": {"Type": "Succeed"},
    }


def deployment() -> dict[str, State]:
    """Put the model behind the endpoint and wait until it serves, or until SageMaker has taken it back."""
    serving = {
        "And": [
            {"Variable": "$.endpoint.status", "StringEquals": "InService"},
            {"Variable": "$.endpoint.config", "StringEqualsPath": "$.deploy.Payload.endpoint_config"},
        ],
        "Next": "Deployed",
    }
    busy = ("Creating", "Updating", "SystemUpdating", "RollingBack")
    waiting = {"Or": [{"Variable": "$.endpoint.status", "StringEquals": status} for status in busy], "Next": "Wait"}
    return {
        "Deploy": function_step(
            names.DEPLOY,
            {"model_package_arn.$": "$.register.Payload.model_package_arn"},
            "deploy",
            "Describe",
            busy=["EndpointBusy"],
        ),
        "Describe": task(
            "aws-sdk:sagemaker:describeEndpoint",
            {"EndpointName": names.PROPENSITY},
            select={"status.$": "$.EndpointStatus", "config.$": "$.EndpointConfigName"},
            result="endpoint",
            after="Serving",
            seconds=60,
            retry=[retry(["States.TaskFailed"], seconds=5, attempts=5)],
        ),
        "Serving": choice(serving, waiting, default="TakenBack"),
        "Wait": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "Describe"},
        "TakenBack": {
            "Type": "Pass",
            "Parameters": {
                "Error": "ModelTakenBack",
                "Cause.$": "States.Format('the endpoint is {} with {}', $.endpoint.status, $.endpoint.config)",
            },
            "ResultPath": "$.error",
            "Next": "Notify",
        },
        "Deployed": {"Type": "Succeed"},
    }


def endings(place: Place) -> dict[str, State]:
    """Tell people of a failure, then fail as it did."""
    return {
        "Notify": notice(place, "failed", "$.error", "Failed"),
        "Failed": {"Type": "Fail", "ErrorPath": "$.error.Error", "CausePath": "$.error.Cause"},
    }


def notice(place: Place, what: str, error: str, after: str) -> State:
    """Tell people of the error found at a path, and go on whether or not they could be told."""
    message = {
        "TopicArn": place.notices,
        "Subject.$": f"States.Format('Rivermill: {{}} {what}', {RUN})",
        "Message.$": f"States.Format('{{}}: {{}}', {error}.Error, {error}.Cause)",
    }
    telling = task("sns:publish", message, result="notice", after=after, seconds=60, retry=[])
    return {**telling, "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.notice", "Next": after}]}


def spark_step(job: str, after: str) -> State:
    """Run a Spark job to its end."""
    return task(
        "glue:startJobRun.sync",
        {"JobName": job, "Arguments": {"--day.$": "$.day", "--run.$": RUN}},
        select={"job.$": "$.JobName", "run.$": "$.Id", "seconds.$": "$.ExecutionTime"},
        result="spark",
        after=after,
        seconds=3 * 3600,
        retry=[
            retry(["Glue.ConcurrentRunsExceededException"], seconds=60, attempts=10),
            retry(["States.TaskFailed"], seconds=15, attempts=2),
        ],
    )


def function_step(name: str, payload: Mapping[str, Any], result: str, after: str, busy: Sequence[str] = ()) -> State:
    """Ask a function; its answer is at `$.<result>.Payload`."""
    return task(
        "lambda:invoke",
        {"FunctionName": name, "Payload": payload},
        select={"Payload.$": "$.Payload"},
        result=result,
        after=after,
        seconds=120,
        retry=[
            retry(LAMBDA_FAULTS, seconds=2, attempts=6),
            *(retry([fault], seconds=60, attempts=30, rate=1) for fault in busy),
        ],
    )


def train_step(place: Place) -> State:
    """Train the run's model."""
    asked = ("run", "day", "table", "snapshot", "seed")
    return task(
        "sagemaker:createTrainingJob.sync",
        {
            "TrainingJobName.$": JOB_NAME,
            "RoleArn": place.training_role,
            "AlgorithmSpecification": {
                "TrainingImage": place.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in TRAINING_METRICS],
            },
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": place.source,
                **{f"{name}.$": f"{PLAN}.hyperparameters.{name}" for name in asked},
            },
            "InputDataConfig": [{"ChannelName": "dataset", "DataSource": {"S3DataSource": manifest()}}],
            "OutputDataConfig": {"S3OutputPath.$": f"{PLAN}.models", "KmsKeyId": place.key},
            "ResourceConfig": {**fleet(place), "VolumeKmsKeyId": place.key},
            "StoppingCondition": {"MaxRuntimeInSeconds": 2 * 3600},
            "Tags": TAGS,
        },
        select={"model_data.$": "$.ModelArtifacts.S3ModelArtifacts"},
        result="train",
        after="Validate",
        seconds=3 * 3600,
        retry=[retry(["States.TaskFailed"], seconds=30, attempts=1)],
    )


def validate_step(place: Place) -> State:
    """Judge the run's model against the champion."""
    output = {"S3Uri.$": f"{PLAN}.validation", "LocalPath": VALIDATE.output, "S3UploadMode": "EndOfJob"}
    told = {name: value for name, value in VALIDATE.write().items() if name != "RUN"}
    return task(
        "sagemaker:createProcessingJob.sync",
        {
            "ProcessingJobName.$": JOB_NAME,
            "RoleArn": place.training_role,
            "AppSpecification": {"ImageUri": place.image, "ContainerEntrypoint": [*VALIDATE_ENTRYPOINT]},
            "Environment": {**told, "RUN.$": f"{PLAN}.run"},
            "ProcessingInputs": [
                processing_input("code", CODE, {"S3DataType": "S3Prefix", "S3Uri": place.source}),
                processing_input("dataset", VALIDATE.dataset, manifest()),
                processing_input("candidate", VALIDATE.candidate, prefix("$.train.model_data")),
                processing_input("champion", VALIDATE.champion, prefix(f"{PLAN}.champion")),
            ],
            "ProcessingOutputConfig": {
                "Outputs": [{"OutputName": "report", "S3Output": output}],
                "KmsKeyId": place.key,
            },
            "ProcessingResources": {"ClusterConfig": {**fleet(place), "VolumeKmsKeyId": place.key}},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "Tags": TAGS,
        },
        select={"report.$": "$.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"},
        result="validate",
        after="Register",
        seconds=2 * 3600,
        retry=[retry(["States.TaskFailed"], seconds=30, attempts=1)],
    )


def processing_input(name: str, path: str, source: State) -> State:
    """Bring objects into a processing container."""
    return {"InputName": name, "S3Input": {**source, "LocalPath": path, "S3InputMode": "File"}}


def manifest() -> State:
    """Name the run's training set: the data files of one snapshot, of which no byte is copied."""
    return {
        "S3DataType": "ManifestFile",
        "S3Uri.$": f"{PLAN}.dataset",
        "S3DataDistributionType": "FullyReplicated",
    }


def prefix(path: str) -> State:
    """Name an object found at a path of the state."""
    return {"S3DataType": "S3Prefix", "S3Uri.$": path}


def fleet(place: Place) -> State:
    """Take one instance."""
    return {"InstanceType": place.training_instance, "InstanceCount": 1, "VolumeSizeInGB": DISK_GB}


def task(
    action: str,
    parameters: Mapping[str, Any],
    *,
    result: str,
    after: str,
    seconds: int,
    retry: Sequence[State],
    select: Mapping[str, str] | None = None,
) -> State:
    """Do something in another service; whatever fails for good is told to people."""
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::{action}",
        "Parameters": parameters,
        **({"ResultSelector": select} if select else {}),
        "ResultPath": f"$.{result}",  # never null: CDK leaves nulls out, and the result would replace the input
        "TimeoutSeconds": seconds,
        **({"Retry": retry} if retry else {}),
        "Catch": FAILED,
        "Next": after,
    }


def retry(errors: Sequence[str], *, seconds: int, attempts: int, rate: float = 2) -> State:
    """Try again after a while, then after longer."""
    return {"ErrorEquals": [*errors], "IntervalSeconds": seconds, "MaxAttempts": attempts, "BackoffRate": rate}


def choice(*rules: State, default: str) -> State:
    """Go on by the first rule that holds."""
    return {"Type": "Choice", "Choices": [*rules], "Default": default}


def holds(path: str, after: str) -> State:
    """Go on if a path is true."""
    return {"Variable": path, "BooleanEquals": True, "Next": after}
