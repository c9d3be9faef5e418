"""Lambda functions through boto3. Sources: AWS Lambda Developer Guide pages named in each test."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import numpy
import pytest
from botocore.exceptions import ClientError

from local import workers
from local.cloud import Cloud
from local.functions import MOST_LINES
from tests.local.builders import Clock, any_name, make_function, make_queue, messages, until, zipped

pytestmark = pytest.mark.slow


def invoke(cloud: Cloud, name: str, event: Any = None, **settings: Any) -> tuple[Any, str | None]:
    """Return the answer and the function error."""
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode(), **settings)
    return json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError")


def log_lines(cloud: Cloud, name: str) -> list[str]:
    found = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"] for event in found]


def test_a_function_answers_its_event_and_knows_its_invocation(cloud: Cloud) -> None:
    """Using the Lambda context object to retrieve Python function information."""
    name = make_function(
        cloud,
        """
        def handle(event, context):
            return [event, context.function_name, context.memory_limit_in_mb, context.get_remaining_time_in_millis()]
        """,
        MemorySize=192,
        Timeout=10,
    )
    (event, function, memory, remaining), error = invoke(cloud, name, {"é": 1})

    assert error is None
    assert (event, function, memory) == ({"é": 1}, name, "192")
    assert 0 < remaining <= 10_000


def test_an_exception_is_answered_with_type_message_and_stack(cloud: Cloud) -> None:
    """Lambda function errors in Python."""
    name = make_function(cloud, "def handle(event, context):\n    raise ValueError('no such user')")
    answer, error = invoke(cloud, name)

    assert error == "Unhandled"
    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "no such user")
    assert "in handle" in answer["stackTrace"][0]


def test_a_log_keeps_its_newest_lines(cloud: Cloud) -> None:
    name = make_function(cloud, f"def handle(event, context):\n    for number in range({MOST_LINES}): print(number)")
    invoke(cloud, name)
    lines = log_lines(cloud, name)

    assert len(lines) == MOST_LINES
    assert lines[-1].startswith("REPORT")
    assert not lines[0].startswith("START")


def test_a_package_that_the_function_does_not_bring_cannot_be_imported(cloud: Cloud) -> None:
    name = make_function(cloud, "import pytest\ndef handle(event, context): ...")
    answer, error = invoke(cloud, name)

    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.ImportModuleError"
    assert answer["errorMessage"] == "Unable to import module 'handler': No module named 'pytest'"


def test_the_runtime_brings_boto3_that_talks_to_this_cloud(cloud: Cloud) -> None:
    bucket = any_name("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    name = make_function(
        cloud,
        """
        import boto3
        def handle(event, context):
            return [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
        """,
    )

    assert bucket in invoke(cloud, name)[0]


def test_a_function_sees_its_own_environment_and_aws_s_and_no_other(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Working with Lambda environment variables: defined runtime environment variables."""
    monkeypatch.setenv("SECRET_OF_THE_DEVELOPER", "x")
    name = make_function(
        cloud,
        "import os\ndef handle(event, context): return dict(os.environ)",
        Environment={"Variables": {"TABLE": "users"}},
    )
    seen, _ = invoke(cloud, name)

    assert seen["TABLE"] == "users"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert seen["_HANDLER"] == "handler.handle"
    assert seen["TZ"] == ":UTC"
    assert not {"SECRET_OF_THE_DEVELOPER", "PYTHONPATH", "VIRTUAL_ENV"} & seen.keys()


def test_a_function_that_takes_too_long_is_ended_and_the_next_invocation_starts_afresh(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configure Lambda function timeout."""
    clock = Clock()
    monkeypatch.setattr(workers, "monotonic", clock)
    name = make_function(
        cloud,
        """
        import time
        runs = 0
        def handle(event, context):
            global runs
            runs += 1
            if event:
                open(event, "w").close()
                time.sleep(600)
            return runs
        """,
        Timeout=50,
    )
    assert invoke(cloud, name) == (1, None)
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(invoke, cloud, name, str(tmp_path / "begun"))
        until((tmp_path / "begun").exists)
        clock.seconds += 49
        time.sleep(0.6)
        assert not endless.done()
        clock.seconds += 1
        answer, error = endless.result()

    assert error == "Unhandled"
    assert answer["errorMessage"].endswith("Task timed out after 50.00 seconds")
    assert invoke(cloud, name) == (1, None)


def test_a_process_that_exits_is_reported(cloud: Cloud) -> None:
    name = make_function(cloud, "import os\ndef handle(event, context): os._exit(3)")
    answer, error = invoke(cloud, name)

    assert error == "Unhandled"
    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")


@pytest.mark.skipif(not Path("/proc").exists(), reason="the memory limit needs /proc")
def test_a_function_over_its_memory_is_killed(cloud: Cloud) -> None:
    name = make_function(
        cloud,
        """
        import time
        def handle(event, context):
            held = bytes(300_000_000).replace(b"\\0", b"1")
            time.sleep(50)
        """,
        MemorySize=128,
    )

    assert invoke(cloud, name)[0]["errorType"] == "Runtime.OutOfMemory"


def test_an_answer_that_is_no_json_is_an_error(cloud: Cloud) -> None:
    name = make_function(cloud, "def handle(event, context): return {1, 2}")

    assert invoke(cloud, name)[0]["errorType"] == "Runtime.MarshalError"


def test_what_a_function_prints_and_logs_rests_in_its_log_group(cloud: Cloud) -> None:
    """Log and monitor Python Lambda functions."""
    name = make_function(
        cloud,
        """
        import logging
        def handle(event, context):
            print("one")
            logging.getLogger().warning("two\\nlines")
        """,
    )
    answer = cloud.client("lambda").invoke(FunctionName=name, LogType="Tail")
    lines = log_lines(cloud, name)

    assert lines[0].startswith("START RequestId: ")
    assert lines[1] == "one"
    assert lines[2].startswith("[WARNING]\t")
    assert lines[2].endswith("two\nlines")
    assert lines[-1].startswith("REPORT RequestId: ")
    assert "one" in base64.b64decode(answer["LogResult"]).decode()


def test_an_embedded_metric_becomes_a_metric(cloud: Cloud) -> None:
    """Amazon CloudWatch User Guide, Specification: Embedded metric format."""
    namespace = any_name("Shop")
    name = make_function(
        cloud,
        f"""
        import json, time
        def handle(event, context):
            sold = {{"Name": "Sold", "Unit": "Count"}}
            metrics = [{{"Namespace": "{namespace}", "Dimensions": [["Shop"]], "Metrics": [sold]}}]
            described = {{"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": metrics}}
            print(json.dumps({{"_aws": described, "Shop": "a", "Sold": event}}))
        """,
    )
    invoke(cloud, name, 3)
    invoke(cloud, name, 4)

    now = time.time()
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="Sold",
        Dimensions=[{"Name": "Shop", "Value": "a"}],
        StartTime=now - 300,
        EndTime=now + 300,
        Period=3600,
        Statistics=["Sum"],
    )
    assert sum(point["Sum"] for point in found["Datapoints"]) == 7


def test_reserved_concurrency_throttles_what_is_beyond_it(cloud: Cloud, tmp_path: Path) -> None:
    """Configuring reserved concurrency for a function."""
    begun, may_end = tmp_path / "begun", tmp_path / "may end"
    name = make_function(
        cloud,
        f"""
        import os, time
        def handle(event, context):
            open({str(begun)!r}, "w").close()
            while not os.path.exists({str(may_end)!r}):
                time.sleep(0.02)
        """,
    )
    cloud.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    first = threading.Thread(target=invoke, args=(cloud, name))
    first.start()
    until(begun.exists)

    with pytest.raises(ClientError, match="Rate Exceeded") as throttled:
        invoke(cloud, name)
    may_end.touch()
    first.join()
    assert throttled.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert throttled.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert invoke(cloud, name)[1] is None


def test_without_a_limit_invocations_run_at_once(cloud: Cloud, tmp_path: Path) -> None:
    """Each invocation waits for the other, so that neither ends unless both run."""
    name = make_function(
        cloud,
        f"""
        import os, time
        def handle(event, context):
            open(os.path.join({str(tmp_path)!r}, event), "w").close()
            while len(os.listdir({str(tmp_path)!r})) < 2:
                time.sleep(0.02)
            return "met"
        """,
    )
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda event: invoke(cloud, name, event), ("a", "b")))

    assert answers == [("met", None), ("met", None)]


def test_an_asynchronous_event_that_fails_is_tried_three_times_then_reported(hurried: Cloud, tmp_path: Path) -> None:
    """Capturing records of Lambda asynchronous invocations; Error handling and retry behavior."""
    url, arn = make_queue(hurried)
    name = make_function(
        hurried,
        f"""
        def handle(event, context):
            open({str(tmp_path / "tries")!r}, "a").write("x")
            raise ValueError(event)
        """,
    )
    hurried.client("lambda").put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    assert (
        hurried.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'"e"')["StatusCode"] == 202
    )

    [body] = until(lambda: messages(hurried, url))
    record = json.loads(body)
    assert (tmp_path / "tries").read_text() == "xxx"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"] == "e"
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["responsePayload"]["errorMessage"] == "e"


def test_a_dead_letter_queue_gets_the_event_itself(hurried: Cloud) -> None:
    """Adding a dead-letter queue."""
    url, arn = make_queue(hurried)
    name = make_function(
        hurried, "def handle(event, context): raise ValueError(1)", DeadLetterConfig={"TargetArn": arn}
    )
    hurried.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b'{"a": 1}')

    assert until(lambda: messages(hurried, url)) == ['{"a": 1}']


def test_events_over_the_limit_are_refused(cloud: Cloud) -> None:
    """Lambda quotas: 6 MB synchronous, 1 MB asynchronous."""
    name = make_function(cloud, "def handle(event, context): return 'x' * event if event else None")
    large = json.dumps("x" * (1 << 20)).encode()

    with pytest.raises(ClientError, match="1048578 byte payload is too large for the Event invocation type"):
        cloud.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=large)
    with pytest.raises(ClientError, match="must be smaller than 6291456 bytes"):
        cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps("x" * (6 << 20)).encode())
    assert invoke(cloud, name, 7_000_000)[0]["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_dry_run_runs_nothing_and_an_unknown_function_is_named(cloud: Cloud) -> None:
    name = make_function(cloud, "def handle(event, context): raise ValueError(1)")

    assert cloud.client("lambda").invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    with pytest.raises(ClientError, match="nobody") as unknown:
        invoke(cloud, "nobody")
    assert unknown.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_new_code_or_settings_replace_the_workers(cloud: Cloud) -> None:
    name = make_function(cloud, "def handle(event, context): return 'old'")
    assert invoke(cloud, name)[0] == "old"
    new = zipped({"handler.py": "import os\ndef handle(event, context): return os.environ.get('WORD', 'new')"})
    cloud.client("lambda").update_function_code(FunctionName=name, ZipFile=new)
    assert invoke(cloud, name)[0] == "new"
    cloud.client("lambda").update_function_configuration(
        FunctionName=name, Environment={"Variables": {"WORD": "newest"}}
    )

    assert invoke(cloud, name)[0] == "newest"


def make_layer(cloud: Cloud, files: dict[str, str | bytes]) -> str:
    made = cloud.client("lambda").publish_layer_version(LayerName=any_name("layer"), Content={"ZipFile": zipped(files)})
    return str(made["LayerVersionArn"])


def layer_of(distribution: str, without: tuple[str, ...] = ()) -> dict[str, str | bytes]:
    """Return the files of a distribution as a layer for another Python and processor would hold them, empty."""
    found = metadata.distribution(distribution).files or []
    names = [
        str(file).replace(".cpython-311-x86_64", ".cpython-313-aarch64") for file in found if ".." not in file.parts
    ]
    return {f"python/{name}": b"" for name in names if "__pycache__" not in name and not name.startswith(without)}


def test_a_layer_s_own_modules_are_used_as_they_are(cloud: Cloud) -> None:
    layer = make_layer(cloud, {"python/ours.py": "ANSWER = 42", "data/words.txt": "a b"})
    name = make_function(cloud, "import ours\ndef handle(event, context): return ours.ANSWER", Layers=[layer])

    assert invoke(cloud, name) == (42, None)


def test_a_layer_s_distributions_are_those_of_this_machine(cloud: Cloud) -> None:
    """The layer's files are empty, so the sum can only come from the installed numpy."""
    layer = make_layer(cloud, layer_of("numpy"))
    source = "import numpy as n\ndef handle(event, context): return [int(n.arange(4).sum()), n.__file__, n.__cached__]"
    (total, file, code), error = invoke(cloud, make_function(cloud, source, Layers=[layer], Timeout=30))

    assert error is None
    assert total == 6
    assert str(cloud.state) in file
    if (here := Path(cache_from_source(numpy.__file__))).exists():
        assert Path(code).samefile(here), "nothing is compiled again that this machine has compiled"


def test_what_a_layer_was_trimmed_of_stays_out(cloud: Cloud) -> None:
    layer = make_layer(cloud, layer_of("numpy", without=("numpy/testing/",)))
    source = "import numpy\ndef handle(event, context):\n    import numpy.testing"
    answer, error = invoke(cloud, make_function(cloud, source, Layers=[layer], Timeout=30))

    assert error == "Unhandled"
    assert "numpy.testing" in answer["errorMessage"]


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("numpy-0.1", "layer wants numpy==0.1, this machine has"),
        ("no_such_thing-2.0", "layer wants no-such-thing==2.0, this machine has none"),
    ],
)
def test_a_layer_that_this_machine_cannot_stand_for_is_refused_by_name(cloud: Cloud, folder: str, said: str) -> None:
    layer = make_layer(cloud, {f"python/{folder}.dist-info/METADATA": ""})

    with pytest.raises(ClientError, match=said):
        make_function(cloud, "def handle(event, context): ...", Layers=[layer])


def test_a_runtime_that_is_not_python_is_refused_by_name_when_invoked(cloud: Cloud) -> None:
    name = make_function(cloud, "", Runtime="nodejs22.x")

    with pytest.raises(ClientError) as refused:
        invoke(cloud, name)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
