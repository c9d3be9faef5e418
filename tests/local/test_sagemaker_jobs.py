"""SageMaker training and processing through boto3.

Source: the SageMaker training toolkit's ENVIRONMENT_VARIABLES.md, and SageMaker Developer Guide, "How Amazon SageMaker
provides training information" and "How Amazon SageMaker Processing runs your processing container image".
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import job_process
from local.cloud import Cloud
from tests.local.builders import Clock, until
from tests.local.jobs import (
    BUCKET,
    finished_job,
    lines,
    processing_request,
    put,
    read,
    source,
    training_request,
    unpacked,
)

pytestmark = pytest.mark.slow

SLEEPING = """
import os, pathlib, time
pathlib.Path(os.environ.get("SM_MODEL_DIR", "."), "half").write_text("half")
time.sleep(600)
"""


def trained(cloud: Cloud, request: dict[str, Any]) -> Any:
    cloud.client("sagemaker").create_training_job(**request)
    return finished_job(cloud, "training", request["TrainingJobName"])


@pytest.fixture(scope="module")
def job(cloud: Cloud) -> Any:
    return trained(cloud, training_request(cloud, strength="0.5", name="any", quoted='"text"', flags="[1, 2]"))


@pytest.fixture(scope="module")
def report(cloud: Cloud, job: Any) -> Any:
    home = job["ModelArtifacts"]["S3ModelArtifacts"].removesuffix("model.tar.gz")
    return json.loads(unpacked(read(cloud, f"{home}output.tar.gz"))["report.json"])


def test_a_training_job_goes_through_its_statuses(job: Any) -> None:
    steps = job["SecondaryStatusTransitions"]

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed", job.get("FailureReason")
    assert [s["Status"] for s in steps] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(one["EndTime"] == next_one["StartTime"] for one, next_one in itertools.pairwise(steps))


def test_the_model_and_the_output_are_packed_and_sent(cloud: Cloud, job: Any) -> None:
    model = job["ModelArtifacts"]["S3ModelArtifacts"]

    assert model == f"s3://{BUCKET}/models/{job['TrainingJobName']}/output/model.tar.gz"
    assert set(unpacked(read(cloud, model))) == {"model.joblib", "code/serve.py"}


def test_a_manifest_brings_its_files_and_no_others(report: Any) -> None:
    assert (report["rows"], sorted(report["files"])) == (200, ["one.csv", "two.csv"])


def test_the_script_finds_the_toolkits_variables(report: Any, job: Any) -> None:
    seen = report["seen"]

    assert json.loads(seen["SM_HPS"]) == {"strength": 0.5, "name": "any", "quoted": "text", "flags": [1, 2]}
    assert (seen["SM_HP_STRENGTH"], seen["SM_HP_QUOTED"], seen["SM_HP_FLAGS"]) == ("0.5", "text", "[1, 2]")
    assert (seen["SM_CURRENT_HOST"], json.loads(seen["SM_HOSTS"])) == ("algo-1", ["algo-1"])
    assert json.loads(seen["SM_CHANNELS"]) == ["train"]
    assert seen["SM_CHANNEL_TRAIN"] == f"{seen['SM_INPUT_DIR']}/data/train"
    assert int(seen["SM_NUM_CPUS"]) > 0
    assert json.loads(seen["SM_TRAINING_ENV"])["job_name"] == job["TrainingJobName"]
    assert json.loads(seen["SM_USER_ARGS"])[-2:] == ["--strength", "0.5"]


def test_metrics_are_read_from_the_log(cloud: Cloud, job: Any) -> None:
    (metric,) = job["FinalMetricDataList"]
    logged = lines(cloud, "/aws/sagemaker/TrainingJobs", f"{job['TrainingJobName']}/algo-1-1")

    assert (metric["MetricName"], metric["Value"]) == ("accuracy", 1.0)
    assert "accuracy=1.000" in logged


def test_a_script_that_raises_fails_the_job_with_its_message(cloud: Cloud) -> None:
    ended = trained(cloud, training_request(cloud, "raise ValueError('one class alone')", rate="1"))

    assert ended["TrainingJobStatus"] == ended["SecondaryStatus"] == "Failed"
    assert 'ErrorMessage "ValueError: one class alone" Command "python3 train.py --rate 1"' in ended["FailureReason"]


def test_what_the_script_writes_to_the_failure_file_is_the_reason(cloud: Cloud) -> None:
    program = "import os; open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('too few rows'); exit(1)"
    ended = trained(cloud, training_request(cloud, program))

    assert ended["FailureReason"] == "AlgorithmError: too few rows, exit code: 1"


def test_a_training_over_its_longest_runtime_stops_and_keeps_its_model(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(job_process, "monotonic", clock)
    request = training_request(cloud, SLEEPING) | {"StoppingCondition": {"MaxRuntimeInSeconds": 60}}
    name = request["TrainingJobName"]
    cloud.client("sagemaker").create_training_job(**request)
    half = cloud.state / "sagemaker" / "training" / name / "ml" / "model" / "half"
    until(lambda: half.exists() and half.read_text())
    clock.seconds += 61
    ended = finished_job(cloud, "training", name)

    assert (ended["TrainingJobStatus"], ended["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert unpacked(read(cloud, ended["ModelArtifacts"]["S3ModelArtifacts"])) == {"half": b"half"}


def test_a_training_can_be_stopped(cloud: Cloud) -> None:
    request, client = training_request(cloud, SLEEPING), cloud.client("sagemaker")
    client.create_training_job(**request)
    name = request["TrainingJobName"]
    until(lambda: client.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training")
    client.stop_training_job(TrainingJobName=name)

    assert finished_job(cloud, "training", name)["TrainingJobStatus"] == "Stopped"


def test_missing_input_fails_the_job_by_its_address(cloud: Cloud) -> None:
    request = training_request(cloud)
    where = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nothing/"}
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"] = where

    assert f"no S3 objects found under s3://{BUCKET}/nothing/" in trained(cloud, request)["FailureReason"]


def test_a_requirement_that_is_not_installed_fails_the_job_by_name(cloud: Cloud) -> None:
    request = training_request(cloud)
    files = {"train.py": "pass", "requirements.txt": "numpy\nno-such-package==2\n"}
    request["HyperParameters"]["sagemaker_submit_directory"] = source(cloud, files)

    assert "no-such-package==2: here it is missing" in trained(cloud, request)["FailureReason"]


def test_a_jobs_name_is_taken_once(cloud: Cloud, job: Any) -> None:
    request = training_request(cloud) | {"TrainingJobName": job["TrainingJobName"]}

    with pytest.raises(ClientError, match="ResourceInUse"):
        cloud.client("sagemaker").create_training_job(**request)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("AlgorithmSpecification", {"TrainingImage": "1.dkr/pytorch:2", "TrainingInputMode": "File"}, "pytorch"),
        ("ResourceConfig", {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}, "InstanceCount 2"),
        ("CheckpointConfig", {"S3Uri": "s3://any/"}, "CheckpointConfig"),
    ],
)
def test_what_a_training_here_does_not_do_is_refused_by_name(cloud: Cloud, field: str, value: Any, named: str) -> None:
    with pytest.raises(ClientError, match=named):
        cloud.client("sagemaker").create_training_job(**training_request(cloud) | {field: value})


def processed(cloud: Cloud, request: dict[str, Any]) -> Any:
    cloud.client("sagemaker").create_processing_job(**request)
    return finished_job(cloud, "processing", request["ProcessingJobName"])


def test_a_processing_job_gets_its_inputs_and_variables_and_sends_its_outputs(cloud: Cloud) -> None:
    program = """
    import os, pathlib, sys
    out = pathlib.Path(sys.argv[1])
    names = sorted(str(p.relative_to(os.environ["ROWS"])) for p in pathlib.Path(os.environ["ROWS"]).rglob("*.csv"))
    (out / "deep").mkdir()
    (out / "deep" / "names").write_text(" ".join(names))
    """
    request = processing_request(
        cloud, program, "/opt/ml/processing/out", Environment={"ROWS": "/opt/ml/processing/rows"}
    )
    put(cloud, "more/x/1.csv", "1")
    put(cloud, "more/2.csv", "2")
    rows = {"S3Uri": f"s3://{BUCKET}/more", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    rows["LocalPath"] = "/opt/ml/processing/rows"
    request["ProcessingInputs"].append({"InputName": "rows", "S3Input": rows})
    ended = processed(cloud, request)

    assert ended["ProcessingJobStatus"] == "Completed", ended.get("FailureReason")
    sent = read(cloud, f"s3://{BUCKET}/processed/{request['ProcessingJobName']}/deep/names")
    assert sent == b"2.csv x/1.csv"


def test_a_container_sees_its_own_variables_and_none_of_ours(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THIS_MACHINE", "x")
    request = processing_request(cloud, "import os; print(sorted(os.environ))")
    processed(cloud, request)
    (seen,) = lines(cloud, "/aws/sagemaker/ProcessingJobs", f"{request['ProcessingJobName']}/algo-1-1")

    assert "AWS_ENDPOINT_URL" in seen
    assert "SECRET_OF_THIS_MACHINE" not in seen


def test_a_failed_processing_says_why_and_sends_nothing(cloud: Cloud) -> None:
    program = "open(__import__('sys').argv[1] + '/half', 'w').write('x'); raise ValueError('worse than the champion')"
    request = processing_request(cloud, program, "/opt/ml/processing/out")
    ended = processed(cloud, request)
    sent = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"processed/{request['ProcessingJobName']}/")

    assert ended["FailureReason"] == "AlgorithmError: ValueError: worse than the champion"
    assert sent["KeyCount"] == 0


def test_a_local_path_outside_the_container_fails_by_name(cloud: Cloud) -> None:
    request = processing_request(cloud, "pass")
    request["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/etc"

    assert "LocalPath /etc is not under /opt/ml" in processed(cloud, request)["FailureReason"]


def test_jobs_are_listed_with_their_status(cloud: Cloud, job: Any) -> None:
    found = cloud.client("sagemaker").list_training_jobs(NameContains=job["TrainingJobName"])["TrainingJobSummaries"]

    assert {one["TrainingJobName"]: one["TrainingJobStatus"] for one in found}[job["TrainingJobName"]] == "Completed"
