"""Make what tests of the laptop cloud need: functions, streams, and patience."""

from __future__ import annotations

import io
import itertools
import json
import textwrap
import time
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.cloud import Cloud

_numbers = itertools.count(1)
ROLE = "arn:aws:iam::123456789012:role/any"
PATIENCE_SECONDS = 120.0  # what comes true comes in a moment; a machine at its limit may take a hundred times as long

# A handler that writes down what it received, one JSON line an invocation, where the test can read it.
RECORDING = """
import base64, json, os, time

def note(event):
    records = [
        {"key": r["kinesis"]["partitionKey"], "data": base64.b64decode(r["kinesis"]["data"]).decode(),
         "sequence": r["kinesis"]["sequenceNumber"]} for r in event["Records"]]
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps({"at": time.time(), "records": records}) + "\\n")
    return records
"""


class Clock:
    """A clock that stands still but for what a test moves it on, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def any_name(prefix: str = "any") -> str:
    return f"{prefix}-{next(_numbers)}"


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def any_role(cloud: Cloud) -> str:
    iam = cloud.client("iam")
    if not any(role["RoleName"] == "any" for role in iam.list_roles()["Roles"]):
        iam.create_role(RoleName="any", AssumeRolePolicyDocument="{}")
    return ROLE


def make_function(cloud: Cloud, source: str, name: str = "", **settings: Any) -> str:
    """Deploy a function whose module `handler` has `source`; return its name."""
    name = name or any_name("function")
    wanted = {"Runtime": "python3.13", "Handler": "handler.handle", "Timeout": 60, **settings}
    code = {"ZipFile": zipped({"handler.py": textwrap.dedent(source)})}
    cloud.client("lambda").create_function(FunctionName=name, Role=any_role(cloud), Code=code, **wanted)
    return name


def recording_function(cloud: Cloud, notes: Path, body: str, **settings: Any) -> str:
    """Deploy a function that notes each event's records, then runs `body` with `records` at hand."""
    source = (
        RECORDING
        + "\ndef handle(event, context):\n    records = note(event)\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
    )
    return make_function(cloud, source, Environment={"Variables": {"NOTES": str(notes)}}, **settings)


def whole_lines(notes: Path) -> list[str]:
    """Return the lines of a file that a function may just be writing to, or be about to."""
    return notes.read_text().rpartition("\n")[0].splitlines() if notes.exists() else []


def noted(notes: Path) -> list[list[str]]:
    """Return the data of the records of each invocation."""
    return [[record["data"] for record in json.loads(line)["records"]] for line in whole_lines(notes)]


def meeting(place: Path, name: str) -> str:
    """Return lines of a handler that wait until another has begun too; one that comes twice is no other."""
    place.mkdir()
    return textwrap.dedent(f"""
    open(os.path.join({str(place)!r}, {name}), "w").close()
    while len(os.listdir({str(place)!r})) < 2:
        time.sleep(0.02)
    """)


def make_stream(cloud: Cloud, shards: int = 1, **settings: Any) -> str:
    name = any_name("stream")
    cloud.client("kinesis").create_stream(StreamName=name, ShardCount=shards, **settings)
    return name


def put(cloud: Cloud, stream: str, *data: str, key: str | None = None) -> Any:
    records = [{"Data": text.encode(), "PartitionKey": key or text[:256]} for text in data]
    return cloud.client("kinesis").put_records(StreamName=stream, Records=records)


def stream_arn(stream: str) -> str:
    return f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"


def map_stream(cloud: Cloud, stream: str, function: str, **settings: Any) -> str:
    """Map a stream to a function from its start; return the mapping's UUID."""
    wanted = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 100, **settings}
    made = cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=stream_arn(stream), FunctionName=function, **wanted
    )
    return str(made["UUID"])


def make_queue(cloud: Cloud, **attributes: str) -> tuple[str, str]:
    """Make a queue; return its URL and ARN."""
    name = any_name("queue")
    url = cloud.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:123456789012:{name}"


def messages(cloud: Cloud, url: str) -> list[str]:
    found = cloud.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [message["Body"] for message in found]


def control(cloud: Cloud, path: str, body: Any = None) -> Any:
    """Call a control address of the laptop cloud."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{cloud.endpoint}{path}", content, method="GET" if body is None else "PUT")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def lag(cloud: Cloud, uuid: str) -> int:
    return next(int(source["lag"]) for source in control(cloud, "/_cloud/event-sources") if source["uuid"] == uuid)


def until(claim: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until `claim` is true; fail where it does not become so."""
    end = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < end, "it did not become true in time"
        time.sleep(0.02)
    return found
