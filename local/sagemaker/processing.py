"""Run a processing job: a container's entry point with its inputs brought and its outputs sent."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.job_process import Ending, JobProcess, Log, last_exception
from local.sagemaker import container
from local.sagemaker.container import JobFailed
from local.sagemaker.jobs import Kind
from local.sagemaker.record import JobRecord, now

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_DAY_SECONDS = 86_400
_MOST_MESSAGE = 1024


def check(request: dict[str, Any]) -> None:
    """Refuse by name what a processing job here does not do."""
    application = request["AppSpecification"]
    container.check_image("AppSpecification.ImageUri", application.get("ImageUri"))
    if not application.get("ContainerEntrypoint"):
        container.refuse("AppSpecification.ContainerEntrypoint", "[]", "jobs that name their program")
    for given in request.get("ProcessingInputs") or []:
        mode = given.get("S3Input", {}).get("S3InputMode", "File")
        if "S3Input" not in given or mode != "File":
            container.refuse("ProcessingInputs", given["InputName"], "S3Input in File mode alone")
    for output in _outputs(request):
        if output.get("S3Output", {}).get("S3UploadMode") != "EndOfJob":
            container.refuse("ProcessingOutputs", output["OutputName"], "S3Output with EndOfJob alone")
    if request["ProcessingResources"]["ClusterConfig"].get("InstanceCount", 1) != 1:
        container.refuse("ClusterConfig.InstanceCount", "over 1", "one instance")


def run(cloud: Cloud, record: JobRecord, folder: Path, stopped: threading.Event) -> None:
    """Bring the inputs, run the program, send the outputs."""
    described, root = record.description, folder / "ml"
    for given in described.get("ProcessingInputs") or []:
        source = given["S3Input"]
        container.bring(cloud, source, container.place(source["LocalPath"], root))
    for output in _outputs(described):
        container.place(output["S3Output"]["LocalPath"], root).mkdir(parents=True, exist_ok=True)
    _write_config(described, root)
    process = _process(cloud, record, folder, stopped)
    record.become(record.status, ProcessingStartTime=now())
    ending = process.run(cloud)
    _close(cloud, record, root, ending, process)


def _process(cloud: Cloud, record: JobRecord, folder: Path, stopped: threading.Event) -> JobProcess:
    described, root = record.description, folder / "ml"
    application = described["AppSpecification"]
    words = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
    variables = container.variables(cloud, described.get("Environment"), root)
    variables |= {"PROCESSING_JOB_NAME": record.processing_job_name, "PROCESSING_JOB_ARN": record.arn}
    log = Log(folder / "output.log", LOG_GROUP, f"{record.processing_job_name}/algo-1-1")
    limit = (described.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", _DAY_SECONDS)
    return JobProcess(container.command(words, root), root, variables, log, log, limit, stopped)


def _close(cloud: Cloud, record: JobRecord, root: Path, ending: Ending, process: JobProcess) -> None:
    message = root / "output" / "message"
    said = message.read_text(errors="replace")[:_MOST_MESSAGE] if message.is_file() else None
    if ending is Ending.FAILED:
        record.become(record.status, ExitMessage=said)
        raise JobFailed(f"AlgorithmError: {last_exception(process.output.path.read_text(errors='replace'))}")
    if ending is Ending.TIMED_OUT:
        raise JobFailed("ClientError: the job ran longer than StoppingCondition.MaxRuntimeInSeconds")
    for output in _outputs(record.description) if ending is Ending.SUCCEEDED else ():
        destination = output["S3Output"]
        container.send_folder(cloud, container.place(destination["LocalPath"], root), destination["S3Uri"])
    status = "Completed" if ending is Ending.SUCCEEDED else "Stopped"
    record.become(status, ExitMessage=said, ProcessingEndTime=now())


def _outputs(described: dict[str, Any]) -> list[dict[str, Any]]:
    return list((described.get("ProcessingOutputConfig") or {}).get("Outputs", []))


def _write_config(described: dict[str, Any], root: Path) -> None:
    config = root / "config"
    config.mkdir(parents=True, exist_ok=True)
    (root / "output").mkdir(exist_ok=True)
    (config / "processingjobconfig.json").write_text(json.dumps(described, default=str))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))


KIND = Kind("Processing", "processing_jobs", check, run)
