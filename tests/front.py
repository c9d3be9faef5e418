"""A REST front of its own in the laptop cloud: the app's construct, before a stream that nobody consumes."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aws_cdk import App, RemovalPolicy, Stack
from aws_cdk import aws_kinesis as kinesis

from local.cloud import Cloud
from stacks import names
from stacks.config import CONFIGS, Config
from stacks.constructs.code import ROOT
from stacks.constructs.rest_front import RestFront
from stacks.constructs.way_in import WayIn

STACK = "Front"
ORIGIN = "http://shop.localhost:5239"
CONFIG = replace(
    CONFIGS["dev"],
    front_clients=("web", "kiosk"),
    front_origins=(ORIGIN, "http://localhost"),
    front_rate=30,
    front_firewall=True,
)


@dataclass(frozen=True)
class Front:
    """The deployed front: its address, the key of each client, and the laptop cloud that it is in."""

    cloud: Cloud
    url: str
    keys: Mapping[str, str]
    accepted: list[int] = field(default_factory=list)

    def post(self, path: str, body: Any, client: str = "web", **headers: str) -> tuple[int, Any, HTTPMessage]:
        """Post a body, as JSON if it is no bytes; return the status, the answer and its headers."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"x-api-key": self.keys.get(client, client), "content-type": "application/json", **headers}
        return self.send("POST", path, content, {name: value for name, value in given.items() if value})

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any, HTTPMessage]:
        where = urlsplit(self.url)
        connection = HTTPConnection("127.0.0.1", where.port or 80)
        connection.request(method, f"{where.path}{path}", body, dict(headers))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        told = json.loads(text) if text else {}
        self.accepted.append(told.get("accepted", 0))
        return answer.status, told, answer.headers

    def stream(self) -> list[tuple[str, bytes]]:
        """Read the whole stream: the key and the bytes of each record, shard by shard."""
        shards = self.cloud.client("kinesis").list_shards(StreamName=names.STREAM)["Shards"]
        return [record for shard in shards for record in self._shard(shard["ShardId"])]

    def _shard(self, shard: str) -> list[tuple[str, bytes]]:
        reading = self.cloud.client("kinesis")
        asked = {"StreamName": names.STREAM, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator, found = reading.get_shard_iterator(**asked)["ShardIterator"], list[tuple[str, bytes]]()
        while True:
            try:
                answer = reading.get_records(ShardIterator=iterator)
            except reading.exceptions.ProvisionedThroughputExceededException:
                time.sleep(0.3)  # a shard is read five times a second
                continue
            found += [(record["PartitionKey"], record["Data"]) for record in answer["Records"]]
            if not answer["Records"] or not answer["MillisBehindLatest"]:
                return found
            iterator = answer["NextShardIterator"]


@contextmanager
def deployed(cloud: Cloud, folder: Path, config: Config = CONFIG) -> Iterator[Front]:
    """Deploy the front by CloudFormation's calls, and remove it."""
    template = synthesize(cloud, folder, config)
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    keys = {client: value_of(cloud, outputs[f"FrontKey{client.title()}"]) for client in config.front_clients}
    try:
        yield Front(cloud, outputs["FrontUrl"], keys)
    finally:
        cloudformation.delete_stack(StackName=STACK)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})


def value_of(cloud: Cloud, key: str) -> str:
    return str(cloud.client("apigateway").get_api_key(apiKey=key, includeValue=True)["value"])


def synthesize(cloud: Cloud, folder: Path, config: Config) -> str:
    """Write the template of a stack with a stream and the front, and put the code where the template says."""
    # The code is put there by hand: staging it takes longer than all the tests.
    app = App(outdir=str(folder), context={"aws:cdk:disable-asset-staging": True}, tree_metadata=False)
    stack = Stack(app, STACK, env={"account": cloud.account, "region": cloud.region})
    stream = kinesis.Stream(
        stack, "Events", stream_name=names.STREAM, shard_count=2, removal_policy=RemovalPolicy.DESTROY
    )
    RestFront(stack, "Front", way_in=WayIn(stream), config=config)
    app.synth()
    for asset in json.loads((folder / f"{STACK}.assets.json").read_text())["files"].values():
        if asset["source"]["packaging"] == "zip":
            for place in asset["destinations"].values():
                cloud.client("s3").create_bucket(Bucket=place["bucketName"])
                cloud.client("s3").put_object(Bucket=place["bucketName"], Key=place["objectKey"], Body=code())
    template = json.loads((folder / f"{STACK}.template.json").read_text())
    # The parameter and the rule check the CDK's bootstrap, which is not here.
    return json.dumps({part: held for part, held in template.items() if part not in {"Parameters", "Rules"}})


def code() -> bytes:
    """Zip what the functions are made of."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for folder in ("domain", "lambdas/ingest"):
            for path in sorted((ROOT / folder).rglob("*.py")):
                archive.write(path, path.relative_to(ROOT).as_posix())
        archive.writestr("lambdas/__init__.py", "")
    return held.getvalue()
