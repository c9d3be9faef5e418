"""Ask for predictions, as a client does: a page's backend by HTTPS and SigV4, a batch by the SageMaker runtime."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from demo.lake import read_json
from demo.laptop import Laptop
from domain.tables import PROPENSITY_FEATURES

NAMES = [column.name for column in PROPENSITY_FEATURES]
BATCH = 500  # rows a request: well under the endpoint's 6 MB
SHOWN = 8

Row = Mapping[str, Any]


def hold_out(laptop: Laptop, bucket: str, run: str) -> pa.Table:
    """Read the test rows of the run's snapshot, with the offline `score` of each, by session."""
    description = read_json(laptop, bucket, f"training/{run}/dataset.json")
    prefix, *keys = read_json(laptop, bucket, description["manifest"].removeprefix(f"s3://{bucket}/"))
    root = prefix["prefix"].removeprefix(f"s3://{bucket}/")
    rows = pa.concat_tables([_parquet(laptop, bucket, root + key) for key in keys])
    scores = _parquet(laptop, bucket, f"training/{run}/validation/scores.parquet")
    return rows.filter(pc.field("split") == "test").join(scores, "session_id", join_type="inner")


def largest_difference(laptop: Laptop, rows: pa.Table) -> float:
    """Score the rows by the endpoint and return the largest absolute difference from their offline `score`."""
    offline: list[float] = rows["score"].to_pylist()
    online = list(score(laptop, rows.select(NAMES).to_pylist()))
    return max(abs(one - other) for one, other in zip(offline, online, strict=True))


def score(laptop: Laptop, rows: Sequence[Row]) -> Iterable[float]:
    """Score rows by the endpoint, some hundreds at a time."""
    runtime = laptop.client("sagemaker-runtime")
    for start in range(0, len(rows), BATCH):
        body = json.dumps({"instances": rows[start : start + BATCH]})
        answer = runtime.invoke_endpoint(EndpointName="rivermill-propensity", ContentType="application/json", Body=body)
        yield from json.load(answer["Body"])["predictions"]


def predict(url: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Ask the deployed HTTPS front for the probability that each session ends in an order."""
    body = json.dumps({"instances": list(rows)}).encode()
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    session = boto3.Session()
    SigV4Auth(session.get_credentials(), "lambda", session.region_name).add_auth(request)
    signed = urllib.request.Request(url, data=body, headers=dict(request.headers), method="POST")  # noqa: S310
    with urllib.request.urlopen(signed, timeout=60) as answer:  # noqa: S310 - the stack's own output
        predictions = json.load(answer)["predictions"]
    return [{"probability": found, "features": row} for found, row in zip(predictions, rows, strict=True)]


def varied(rows: pa.Table) -> list[Row]:
    """Pick a few rows from the lowest offline score to the highest."""
    order = pc.sort_indices(rows["score"])
    places = [round(i * (len(rows) - 1) / (SHOWN - 1)) for i in range(SHOWN)]
    picked: list[Row] = rows.select(NAMES).take(order.take(pa.array(places))).to_pylist()
    return picked


def _parquet(laptop: Laptop, bucket: str, key: str) -> pa.Table:
    body = laptop.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return pq.read_table(pa.BufferReader(io.BytesIO(body).getbuffer()))
