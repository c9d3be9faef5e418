"""SageMaker endpoints through boto3. Source: SageMaker API reference and Developer Guide, "Deployment guardrails"."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from botocore.exceptions import ClientError
from sklearn.linear_model import LogisticRegression

from local import processes
from local.cloud import Cloud
from tests.local.builders import ROLE, any_name, until
from tests.local.jobs import IMAGE, lines, packed, put

pytestmark = pytest.mark.slow

ECHO = """
import json, os
def model_fn(folder): return open(os.path.join(folder, "weights")).read()
def input_fn(body, kind): return json.loads(body)
def predict_fn(given, model):
    if given == "break": raise ValueError("broken on purpose")
    if given == "die": os._exit(1)
    return {"model": model, "given": given, "variables": sorted(os.environ)}
def output_fn(answer, accept): return json.dumps(answer), "application/json"
"""
SUM = """
def model_fn(folder): return None
def predict_fn(rows, model): return rows.sum(axis=-1)
"""


def make_model(cloud: Cloud, serve: str = ECHO, weights: str = "first", **environment: str) -> str:
    """Make a model served by `serve`; return its name."""
    name = any_name("model")
    if "joblib" in serve:
        files: dict[str, str | bytes] = {"code/serve.py": serve, "model.joblib": fitted()}
    else:
        files = {"code/serve.py": serve, "weights": weights}
    variables = {"SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code", **environment}
    address = put(cloud, f"artefacts/{name}.tar.gz", packed(files))
    cloud.client("sagemaker").create_model(
        ModelName=name,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": address, "Environment": variables},
    )
    return name


def fitted() -> bytes:
    held = io.BytesIO()
    joblib.dump(LogisticRegression().fit([[0, 0], [1, 1]] * 9, [0, 1] * 9), held)
    return held.getvalue()


def make_config(cloud: Cloud, **variants: tuple[str, float]) -> str:
    """Make a configuration of variants (model, weight); return its name."""
    name = any_name("config")
    shown = [
        {
            "VariantName": variant,
            "ModelName": model,
            "InstanceType": "ml.m7i.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": weight,
        }
        for variant, (model, weight) in variants.items()
    ]
    cloud.client("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=shown)
    return name


def described(cloud: Cloud, name: str) -> Any:
    return cloud.client("sagemaker").describe_endpoint(EndpointName=name)


def settled(cloud: Cloud, name: str) -> Any:
    """Wait until an endpoint is neither being made nor updated; return its description."""
    moving = {"Creating", "Updating"}
    return until(lambda: (found := described(cloud, name))["EndpointStatus"] not in moving and found)


def make_endpoint(cloud: Cloud, config: str) -> str:
    name = any_name("endpoint")
    cloud.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
    return name


def ask(cloud: Cloud, name: str, body: str | bytes, **settings: Any) -> Any:
    return cloud.client("sagemaker-runtime").invoke_endpoint(EndpointName=name, Body=body, **settings)


def served_by(cloud: Cloud, name: str) -> str:
    return str(json.loads(ask(cloud, name, '"who"')["Body"].read())["model"])


def update(cloud: Cloud, name: str, config: str, **settings: Any) -> Any:
    """Update an endpoint and wait until it has settled."""
    cloud.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=config, **settings)
    return settled(cloud, name)


def running() -> int:
    """Return how many child processes the cloud has."""
    return sum(process.poll() is None for process in list(processes._running))


@pytest.fixture(scope="module")
def endpoint(cloud: Cloud) -> str:
    first, second = make_model(cloud), make_model(cloud, SUM)
    name = make_endpoint(cloud, make_config(cloud, echo=(first, 1.0), sum=(second, 0.0)))
    assert settled(cloud, name)["EndpointStatus"] == "InService"
    return name


def test_an_endpoint_answers_with_the_models_own_functions(cloud: Cloud, endpoint: str) -> None:
    answer = ask(cloud, endpoint, '{"a": 1}', ContentType="application/json")

    assert answer["InvokedProductionVariant"] == "echo"
    assert answer["ContentType"] == "application/json"
    assert b'"given": {"a": 1}' in answer["Body"].read()


def test_a_serving_process_sees_the_containers_variables_and_none_of_ours(
    cloud: Cloud, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = ask(cloud, endpoint, '"any"')["Body"].read()

    assert b"AWS_ENDPOINT_URL" in seen
    assert b"PYTEST" not in seen


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[[1, 2], [3, 4]]"),
        ("text/csv", b"1,2\n3,4\n"),
        ("application/x-npy", None),
    ],
)
def test_the_containers_own_functions_read_and_write_its_formats(
    cloud: Cloud, endpoint: str, kind: str, body: bytes | None
) -> None:
    held = io.BytesIO()
    numpy.save(held, numpy.array([[1.0, 2.0], [3.0, 4.0]]))
    given = body or held.getvalue()
    answer = ask(cloud, endpoint, given, ContentType=kind, Accept=kind, TargetVariant="sum")["Body"].read()
    if kind == "application/x-npy":
        read = numpy.load(io.BytesIO(answer)).tolist()
    else:
        read = json.loads(answer) if kind == "application/json" else [float(line) for line in answer.split()]

    assert read == [3.0, 7.0]


def test_a_program_that_raises_is_a_model_error_with_its_own_status_and_message(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError) as failure:
        ask(cloud, endpoint, '"break"')
    answer = failure.value.response

    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["Error"]["Code"] == "ModelError"
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (500, "ValueError: broken on purpose")
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    streams = cloud.client("logs").describe_log_streams
    stream = until(lambda: [s for s in streams(logGroupName=group)["logStreams"] if s["logStreamName"][:4] == "echo"])
    until(lambda: "ValueError: broken on purpose" in lines(cloud, group, stream[0]["logStreamName"]))


def test_an_unknown_format_is_the_callers_error(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError) as failure:
        ask(cloud, endpoint, b"x", ContentType="image/png", TargetVariant="sum")

    assert failure.value.response["OriginalStatusCode"] == 415


def test_a_process_that_dies_is_started_again(cloud: Cloud, endpoint: str) -> None:
    with pytest.raises(ClientError, match="ModelError"):
        ask(cloud, endpoint, '"die"')

    assert served_by(cloud, endpoint) == "first"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"EndpointName": "nowhere"}, "Endpoint nowhere of account 123456789012 not found"),
        ({"Body": b"x" * (6 * 1024 * 1024 + 1)}, "6291456"),
        ({"TargetVariant": "other"}, "Variant other"),
    ],
    ids=["endpoint", "size", "variant"],
)
def test_a_request_beyond_the_limits_is_refused(cloud: Cloud, endpoint: str, wrong: dict[str, Any], said: str) -> None:
    asked = {"EndpointName": endpoint, "Body": b"x", **wrong}

    with pytest.raises(ClientError, match=f"ValidationError.*{said}"):
        cloud.client("sagemaker-runtime").invoke_endpoint(**asked)


def test_traffic_follows_the_weights(cloud: Cloud, endpoint: str) -> None:
    client = cloud.client("sagemaker")
    weights = [{"VariantName": "echo", "DesiredWeight": 1}, {"VariantName": "sum", "DesiredWeight": 1}]
    client.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=weights)
    seen = [ask(cloud, endpoint, "[1, 2]")["InvokedProductionVariant"] for _ in range(60)]
    weights[1]["DesiredWeight"] = 0
    client.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=weights)

    assert 10 < seen.count("sum") < 50  # 60 fair throws fall outside 1 time in 10 million


def waiting(flag: Path) -> str:
    """Return a program that serves when there is a flag, and not before."""
    return f"import os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.02)\n{ECHO}"


def test_an_update_serves_the_old_model_until_the_new_one_answers(cloud: Cloud, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    name = make_endpoint(cloud, make_config(cloud, only=(make_model(cloud, waiting(first)), 1.0)))
    assert described(cloud, name)["EndpointStatus"] == "Creating"
    first.touch()
    settled(cloud, name)
    before = running()
    new = make_config(cloud, only=(make_model(cloud, waiting(second), "second"), 1.0))
    cloud.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=new)
    until(lambda: running() == before + 1)  # the new model starts
    during = [(described(cloud, name)["EndpointStatus"], served_by(cloud, name)) for _ in range(10)]
    second.touch()
    settled(cloud, name)

    assert during == [("Updating", "first")] * 10
    assert served_by(cloud, name) == "second"
    assert described(cloud, name)["EndpointConfigName"] == new
    assert running() == before


def test_an_update_to_a_model_that_does_not_start_leaves_the_old_one_and_says_why(cloud: Cloud) -> None:
    old = make_config(cloud, only=(make_model(cloud), 1.0))
    name = make_endpoint(cloud, old)
    settled(cloud, name)
    found = update(cloud, name, make_config(cloud, only=(make_model(cloud, "raise OSError('no model')"), 1.0)))

    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", old)
    assert "did not pass the ping health check" in found["FailureReason"]
    assert served_by(cloud, name) == "first"


def test_a_canary_rolls_back_when_an_alarm_rings(cloud: Cloud) -> None:
    alarm, watch = any_name("alarm"), cloud.client("cloudwatch")
    watch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="any",
        MetricName="errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    name = make_endpoint(cloud, make_config(cloud, only=(make_model(cloud), 1.0)))
    settled(cloud, name)
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    routing = {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": 3600}
    policy = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }
    new = make_config(cloud, only=(make_model(cloud, weights="second"), 1.0))
    cloud.client("sagemaker").update_endpoint(EndpointName=name, EndpointConfigName=new, DeploymentConfig=policy)
    until(lambda: served_by(cloud, name) == "second")
    both = {served_by(cloud, name) for _ in range(40)}
    watch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    found = settled(cloud, name)

    assert both == {"first", "second"}
    assert (found["EndpointStatus"], alarm in found["FailureReason"]) == ("InService", True)
    assert {served_by(cloud, name) for _ in range(20)} == {"first"}


def test_an_endpoint_of_a_model_that_does_not_start_has_failed(cloud: Cloud) -> None:
    name = make_endpoint(cloud, make_config(cloud, only=(make_model(cloud, "x = 1"), 1.0)))
    found = settled(cloud, name)

    assert found["EndpointStatus"] == "Failed"
    with pytest.raises(ClientError, match="ValidationError"):
        ask(cloud, name, b"x")


def test_a_model_package_is_served_by_its_arn(cloud: Cloud) -> None:
    client, group = cloud.client("sagemaker"), any_name("group")
    artefact = packed({"code/serve.py": ECHO, "weights": "registered"})
    container = {
        "Image": IMAGE,
        "ModelDataUrl": put(cloud, f"artefacts/{group}.tar.gz", artefact),
        "Environment": {"SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
    }
    client.create_model_package_group(ModelPackageGroupName=group)
    formats = {"SupportedContentTypes": ["application/json"], "SupportedResponseMIMETypes": ["application/json"]}
    arn = client.create_model_package(
        ModelPackageGroupName=group, InferenceSpecification={"Containers": [container], **formats}
    )["ModelPackageArn"]
    model = any_name("model")
    client.create_model(ModelName=model, ExecutionRoleArn=ROLE, Containers=[{"ModelPackageName": arn}])
    name = make_endpoint(cloud, make_config(cloud, only=(model, 1.0)))
    settled(cloud, name)

    assert served_by(cloud, name) == "registered"


def test_an_image_that_this_machine_cannot_stand_for_is_refused_by_name(cloud: Cloud) -> None:
    model = any_name("model")
    container = {"Image": "1.dkr.ecr/huggingface:4", "ModelDataUrl": "s3://any/model.tar.gz"}
    cloud.client("sagemaker").create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    found = settled(cloud, make_endpoint(cloud, make_config(cloud, only=(model, 1.0))))

    assert (
        "Image 1.dkr.ecr/huggingface:4: the laptop cloud does sagemaker-scikit-learn images" in found["FailureReason"]
    )


def test_names_are_taken_once(cloud: Cloud, endpoint: str) -> None:
    config = described(cloud, endpoint)["EndpointConfigName"]

    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        cloud.client("sagemaker").create_endpoint(EndpointName=endpoint, EndpointConfigName=config)


def test_invocations_are_counted_where_sagemaker_counts_them(cloud: Cloud, endpoint: str) -> None:
    before = _sum(cloud, endpoint, "Invocations", "sum")
    for _ in range(7):
        ask(cloud, endpoint, "[1]", TargetVariant="sum")

    until(lambda: _sum(cloud, endpoint, "Invocations", "sum") >= before + 7)
    until(lambda: _sum(cloud, endpoint, "ModelLatency", "sum") > 0)
    until(lambda: _sum(cloud, endpoint, "Invocation5XXErrors", "echo") >= 1)  # the one broken on purpose


def _sum(cloud: Cloud, endpoint: str, metric: str, variant: str) -> float:
    now = datetime.now(timezone.utc)
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in found))


def test_a_deleted_endpoint_is_gone_with_its_process(cloud: Cloud) -> None:
    name = make_endpoint(cloud, make_config(cloud, only=(make_model(cloud), 1.0)))
    settled(cloud, name)
    before = running()
    cloud.client("sagemaker").delete_endpoint(EndpointName=name)

    until(lambda: running() == before - 1)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        described(cloud, name)
