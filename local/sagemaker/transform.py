"""Run a batch transform: every object of a prefix through a served model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from local.cloud import Cloud
from local.sagemaker import container
from local.sagemaker.container import JobFailed
from local.sagemaker.jobs import Kind
from local.sagemaker.record import JobRecord, now
from local.sagemaker.server import HEALTH_SECONDS, Renewed, container_of

LOG_GROUP = "/aws/sagemaker/TransformJobs"
_DEFAULT_MEGABYTES = 6
_OK = 200


def check(request: dict[str, Any]) -> None:
    """Refuse by name what a transform job here does not do."""
    given, output = request["TransformInput"], request["TransformOutput"]
    if given.get("SplitType", "None") not in {"None", "Line"}:
        container.refuse("TransformInput.SplitType", given["SplitType"], "None and Line")
    if given.get("CompressionType", "None") != "None":
        container.refuse("TransformInput.CompressionType", given["CompressionType"], "None alone")
    if output.get("AssembleWith", "None") not in {"None", "Line"}:
        container.refuse("TransformOutput.AssembleWith", output["AssembleWith"], "None and Line")
    if request.get("DataProcessing"):
        container.refuse("DataProcessing", "", "transforms without it")


def run(cloud: Cloud, record: JobRecord, folder: Path, stopped: threading.Event) -> None:
    """Serve the model, ask it for each object, send each answer."""
    described = record.description
    container.bring(cloud, described["TransformInput"]["DataSource"]["S3DataSource"], folder / "input")
    model = container_of(sagemaker_backends[cloud.account][cloud.region], described["ModelName"])
    model["Environment"] |= described.get("Environment") or {}
    server = Renewed(cloud, model, folder, LOG_GROUP, f"{record.transform_job_name}/i-1")
    record.become(record.status, TransformStartTime=now())
    try:
        if not server.start(HEALTH_SECONDS):
            raise JobFailed("AlgorithmError: the container did not pass the ping health check")
        for source in sorted(path for path in (folder / "input").rglob("*") if path.is_file()):
            if stopped.is_set():
                record.become("Stopped", TransformEndTime=now())
                return
            target = folder / "output" / source.relative_to(folder / "input").with_name(f"{source.name}.out")
            _transform(described, server, source, target)
    finally:
        server.end()
    container.send_folder(cloud, folder / "output", described["TransformOutput"]["S3OutputPath"])
    record.become("Completed", TransformEndTime=now())


def _transform(described: dict[str, Any], server: Renewed, source: Path, target: Path) -> None:
    given, output = described["TransformInput"], described["TransformOutput"]
    headers = {"Content-Type": given.get("ContentType", ""), "Accept": output.get("Accept", "")}
    target.parent.mkdir(parents=True, exist_ok=True)
    joint = b"\n" if output.get("AssembleWith") == "Line" else b""
    with target.open("wb") as file:
        for body in bodies(described, source.read_bytes()):
            answer = server.invoke(body, {name: value for name, value in headers.items() if value}, HEALTH_SECONDS)
            if answer.status != _OK:
                said = answer.body.decode(errors="replace")
                raise JobFailed(f"AlgorithmError: {source.name}: the container answered {answer.status}: {said}")
            file.write(answer.body.removesuffix(joint) + joint)


def bodies(described: dict[str, Any], content: bytes) -> Iterator[bytes]:
    """Cut an object's content into requests: whole, line by line, or as many lines as the payload takes.

    >>> asked = {"TransformInput": {"SplitType": "Line"}, "BatchStrategy": "SingleRecord"}
    >>> list(bodies(asked, b"a\\nb\\n"))
    [b'a\\n', b'b\\n']
    """
    if described["TransformInput"].get("SplitType", "None") == "None":
        yield content
        return
    most = (described.get("MaxPayloadInMB") or _DEFAULT_MEGABYTES) << 20
    single = described.get("BatchStrategy") == "SingleRecord"
    batch: list[bytes] = []
    size = 0
    for line in content.splitlines(keepends=True):
        if batch and (single or size + len(line) > most):
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield b"".join(batch)


KIND = Kind("Transform", "transform_jobs", check, run)
