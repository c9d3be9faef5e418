"""Make what tests of jobs need: scripts in a bucket, Glue jobs, SageMaker requests, state machines."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
from collections.abc import Mapping
from typing import Any

from local.cloud import Cloud
from tests.local.builders import ROLE, any_name, until

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
BUCKET = "jobs-of-tests"

TRAIN = """
import argparse, json, os, pathlib
import joblib, numpy
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float)
given, _ = parser.parse_known_args()
files = sorted(pathlib.Path(os.environ["SM_CHANNEL_TRAIN"]).rglob("*.csv"))
rows = numpy.vstack([numpy.loadtxt(file, delimiter=",", ndmin=2) for file in files])
model = LogisticRegression(C=given.strength).fit(rows[:, :-1], rows[:, -1])
print(f"accuracy={model.score(rows[:, :-1], rows[:, -1]):.3f}")
home = pathlib.Path(os.environ["SM_MODEL_DIR"])
joblib.dump(model, home / "model.joblib")
(home / "code").mkdir()
(home / "code" / "serve.py").write_text(pathlib.Path("serve.py").read_text())
seen = {name: value for name, value in os.environ.items() if name.startswith("SM_")}
report = {"rows": len(rows), "files": [file.name for file in files], "seen": seen}
(pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"]) / "report.json").write_text(json.dumps(report))
"""
SERVE = """
import joblib, os

def model_fn(folder):
    return joblib.load(os.path.join(folder, "model.joblib"))

def predict_fn(rows, model):
    return model.predict_proba(rows)[:, 1]
"""


def put(cloud: Cloud, key: str, body: str | bytes) -> str:
    """Put an object into the tests' bucket; return its address."""
    client = cloud.client("s3")
    if not any(bucket["Name"] == BUCKET for bucket in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key=key, Body=body)
    return f"s3://{BUCKET}/{key}"


def read(cloud: Cloud, address: str) -> bytes:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bytes(cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """Return a tar.gz of files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return held.getvalue()


def unpacked(archive: bytes) -> dict[str, bytes]:
    """Return the files of a tar.gz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened if entry.isfile()}  # type: ignore[union-attr]


def make_glue_job(cloud: Cloud, script: str, default: Mapping[str, str] | None = None, **settings: Any) -> str:
    """Make a Glue job of a script; return its name."""
    name = any_name("job")
    address = put(cloud, f"scripts/{name}.py", textwrap.dedent(script))
    wanted = {"Command": {"Name": "glueetl", "ScriptLocation": address, "PythonVersion": "3"}, **settings}
    cloud.client("glue").create_job(
        Name=name, Role=ROLE, GlueVersion="6.0", DefaultArguments=dict(default or {}), **wanted
    )
    return name


def start_glue_job(cloud: Cloud, job: str, **arguments: str) -> str:
    given = {f"--{name}": value for name, value in arguments.items()}
    return str(cloud.client("glue").start_job_run(JobName=job, Arguments=given)["JobRunId"])


def glue_run(cloud: Cloud, job: str, run: str) -> Any:
    return cloud.client("glue").get_job_run(JobName=job, RunId=run)["JobRun"]


def finished_glue_run(cloud: Cloud, job: str, run: str, seconds: float = 300) -> Any:
    """Wait for a run's end; return its description."""
    ended = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"}
    return until(lambda: (found := glue_run(cloud, job, run))["JobRunState"] in ended and found, seconds)


def lines(cloud: Cloud, group: str, stream: str) -> list[str]:
    found = cloud.client("logs").get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in found["events"]]


def source(cloud: Cloud, files: Mapping[str, str]) -> str:
    """Put a source directory; return its address."""
    return put(cloud, f"source/{any_name('source')}.tar.gz", packed(files))


def training_request(cloud: Cloud, program: str = TRAIN, **hyperparameters: str) -> dict[str, Any]:
    """Return a request for a training job of `program` on two files named by a manifest."""
    put(cloud, "rows/a/one.csv", "0,0,0\n1,1,1\n" * 50)
    put(cloud, "rows/b/two.csv", "0,1,0\n1,2,1\n" * 50)
    put(cloud, "rows/b/other.csv", "9,9,9\n")
    manifest = json.dumps([{"prefix": f"s3://{BUCKET}/rows/"}, "a/one.csv", "b/two.csv"])
    return {
        "TrainingJobName": any_name("training"),
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}],
        },
        "RoleArn": ROLE,
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": source(cloud, {"train.py": textwrap.dedent(program), "serve.py": SERVE}),
            **hyperparameters,
        },
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": put(cloud, "rows/manifest", manifest)}
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def processing_request(cloud: Cloud, program: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """Return a request for a processing job that runs `program`, and whose folder /opt/ml/processing/out is sent."""
    name = any_name("processing")
    code = put(cloud, f"programs/{name}/main.py", textwrap.dedent(program))
    request = {
        "ProcessingJobName": name,
        "RoleArn": ROLE,
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/main.py"],
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {
                    "S3Uri": code,
                    "LocalPath": "/opt/ml/processing/input/code",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/processed/{name}",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        **more,
    }
    if arguments:
        request["AppSpecification"]["ContainerArguments"] = list(arguments)
    return request


def finished_job(cloud: Cloud, kind: str, name: str, seconds: float = 300) -> Any:
    """Wait for the end of a SageMaker job of a kind (training, processing, transform); return its description."""
    title = kind.title()
    describe = getattr(cloud.client("sagemaker"), f"describe_{kind}_job")

    def ended() -> Any:
        found = describe(**{f"{title}JobName": name})
        return found[f"{title}JobStatus"] not in {"InProgress", "Stopping"} and found

    return until(ended, seconds)


def make_machine(cloud: Cloud, states: Mapping[str, Any], start: str = "", **settings: Any) -> str:
    """Make a state machine; return its ARN."""
    definition = {"StartAt": start or next(iter(states)), "States": states, **settings}
    made = cloud.client("stepfunctions").create_state_machine(
        name=any_name("machine"), roleArn=ROLE, definition=json.dumps(definition)
    )
    return str(made["stateMachineArn"])


def execute(cloud: Cloud, machine: str, given: Any = None, **settings: Any) -> str:
    """Start an execution; return its ARN."""
    started = cloud.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=json.dumps(given or {}), **settings
    )
    return str(started["executionArn"])


def finished_execution(cloud: Cloud, execution: str, seconds: float = 300) -> Any:
    """Wait for the end of an execution; return its description."""
    describe = cloud.client("stepfunctions").describe_execution
    return until(lambda: (found := describe(executionArn=execution))["status"] != "RUNNING" and found, seconds)
