"""Run a training job as the scikit-learn container's script mode does."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.installed import missing
from local.job_process import Ending, JobProcess, Log, last_exception
from local.sagemaker import container
from local.sagemaker.container import JobFailed
from local.sagemaker.jobs import Kind
from local.sagemaker.record import JobRecord, now

HOST = "algo-1"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_DAY_SECONDS = 86_400
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job stopped at its longest runtime",
}


def check(request: dict[str, Any]) -> None:
    """Refuse by name what a training job here does not do."""
    algorithm = request["AlgorithmSpecification"]
    container.check_image("AlgorithmSpecification.TrainingImage", algorithm.get("TrainingImage"))
    for mode in [algorithm.get("TrainingInputMode"), *(c.get("InputMode") for c in request.get("InputDataConfig", []))]:
        if mode not in {None, "File"}:
            container.refuse("TrainingInputMode", mode, "File alone")
    if request["ResourceConfig"].get("InstanceCount", 1) != 1:
        container.refuse("ResourceConfig.InstanceCount", request["ResourceConfig"]["InstanceCount"], "one instance")
    for beyond in ("CheckpointConfig", "DebugHookConfig", "ProfilerConfig", "TensorBoardOutputConfig"):
        if request.get(beyond):
            container.refuse(beyond, "", "training without it")


def begin() -> dict[str, Any]:
    """Return what the description of a training job says from the start."""
    step = {"Status": "Starting", "StartTime": now(), "StatusMessage": _MESSAGES["Starting"]}
    return {"SecondaryStatus": "Starting", "SecondaryStatusTransitions": [step]}


def run(cloud: Cloud, record: JobRecord, folder: Path, stopped: threading.Event) -> None:
    """Bring the data and the code, run the script, take its model and its metrics home."""
    described, root = record.description, folder / "ml"
    for part in ("input/config", "input/data", "model", "output/data", "output/intermediate", "code"):
        (root / part).mkdir(parents=True, exist_ok=True)
    _move(record, "Downloading")
    for channel in described.get("InputDataConfig", []):
        container.bring(cloud, channel["DataSource"]["S3DataSource"], root / "input" / "data" / channel["ChannelName"])
    hyperparameters = decode(described.get("HyperParameters", {}))
    _write_config(described, root)
    process = _process(cloud, record, folder, hyperparameters, stopped)
    _move(record, "Training", TrainingStartTime=now())
    ending = process.run(cloud)
    text = process.output.path.read_text(errors="replace")
    record.become(record.status, FinalMetricDataList=_metrics(described["AlgorithmSpecification"], text) or None)
    if ending is Ending.FAILED:
        raise JobFailed(_reason(root, text, process.command))
    _finish(cloud, record, root, ending)


def _finish(cloud: Cloud, record: JobRecord, root: Path, ending: Ending) -> None:
    """Upload what the script left, also when it was stopped, and close the record."""
    _move(record, "Uploading")
    home = f"{record.description['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{record.training_job_name}/output"
    container.send_packed(cloud, root / "model", f"{home}/model.tar.gz")
    container.send_packed(cloud, root / "output" / "data", f"{home}/output.tar.gz")
    artifacts = {"S3ModelArtifacts": f"{home}/model.tar.gz"}
    status, secondary = {
        Ending.SUCCEEDED: ("Completed", "Completed"),
        Ending.STOPPED: ("Stopped", "Stopped"),
        Ending.TIMED_OUT: ("Stopped", "MaxRuntimeExceeded"),
    }[ending]
    started, ended = record.description["TrainingStartTime"], now()
    seconds = max(1, round((ended - started).total_seconds()))
    _move(record, secondary)
    record.become(
        status,
        ModelArtifacts=artifacts,
        TrainingEndTime=ended,
        TrainingTimeInSeconds=seconds,
        BillableTimeInSeconds=seconds,
    )


def _move(record: JobRecord, secondary: str, **changes: Any) -> None:
    """Add a step to the job's history of secondary statuses."""
    moment = now()
    history = [dict(step) for step in record.description["SecondaryStatusTransitions"]]
    history[-1]["EndTime"] = moment
    history.append({"Status": secondary, "StartTime": moment, "StatusMessage": _MESSAGES[secondary]})
    record.become(record.status, SecondaryStatus=secondary, SecondaryStatusTransitions=history, **changes)


def _process(
    cloud: Cloud, record: JobRecord, folder: Path, hyperparameters: dict[str, Any], stopped: threading.Event
) -> JobProcess:
    root, described = folder / "ml", record.description
    program = str(hyperparameters.get("sagemaker_program", ""))
    submitted = str(hyperparameters.get("sagemaker_submit_directory", ""))
    if not program or not submitted:
        raise JobFailed("ClientError: HyperParameters need sagemaker_program and sagemaker_submit_directory")
    code = root / "code"
    container.unpack(cloud, submitted, code)
    if not (code / program).is_file():
        raise JobFailed(f"ClientError: sagemaker_program {program} is not in {submitted}")
    _check_requirements(code)
    arguments = script_arguments(hyperparameters)
    toolkit = script_variables(root, described, hyperparameters, arguments)
    variables = {**container.variables(cloud, described.get("Environment"), root), **toolkit, "PYTHONPATH": str(code)}
    variables |= {"TRAINING_JOB_NAME": record.training_job_name, "TRAINING_JOB_ARN": record.arn}
    log = Log(folder / "output.log", LOG_GROUP, f"{record.training_job_name}/{HOST}-1")
    limit = described.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _DAY_SECONDS)
    return JobProcess([sys.executable, program, *arguments], code, variables, log, log, limit, stopped)


def _check_requirements(code: Path) -> None:
    file = code / "requirements.txt"
    lacking = missing(file.read_text().splitlines()) if file.is_file() else None
    if lacking:
        raise JobFailed(f"ClientError: requirements.txt {lacking}")


def decode(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Read hyperparameters as the toolkit does: JSON where it is JSON, else text.

    >>> decode({"depth": "3", "name": "gbm", "quoted": '"x"'})
    {'depth': 3, 'name': 'gbm', 'quoted': 'x'}
    """
    return {name: _decoded(value) for name, value in hyperparameters.items()}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _own(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyperparameters.items() if not name.startswith("sagemaker_")}


def script_arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Return the script's arguments: each hyperparameter that is not SageMaker's own, in the order of names.

    >>> script_arguments({"sagemaker_program": "train.py", "rate": 0.1, "b": True, "k": [1]})
    ['-b', 'True', '-k', '[1]', '--rate', '0.1']
    """
    return [
        word
        for name, value in sorted(_own(hyperparameters).items())
        for word in (f"-{name}" if len(name) == 1 else f"--{name}", _text(value))
    ]


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else "" if value is None else str(value)


def script_variables(
    root: Path, described: Mapping[str, Any], hyperparameters: Mapping[str, Any], arguments: Sequence[str]
) -> dict[str, str]:
    """Return the SM_* variables that the toolkit gives the script (sagemaker-training's ENVIRONMENT_VARIABLES.md)."""
    channels = {
        c["ChannelName"]: str(root / "input" / "data" / c["ChannelName"]) for c in described.get("InputDataConfig", [])
    }
    program = str(hyperparameters["sagemaker_program"])
    environment: dict[str, Any] = {
        "channel_input_dirs": channels,
        "current_host": HOST,
        "current_instance_type": described["ResourceConfig"].get("InstanceType", ""),
        "current_instance_group": "homogeneousCluster",
        "framework_module": "sagemaker_sklearn_container.training:main",
        "hosts": [HOST],
        "hyperparameters": _own(hyperparameters),
        "input_config_dir": str(root / "input" / "config"),
        "input_data_config": _channel_config(described),
        "input_dir": str(root / "input"),
        "job_name": described["TrainingJobName"],
        "log_level": 20,
        "model_dir": str(root / "model"),
        "module_dir": str(hyperparameters["sagemaker_submit_directory"]),
        "module_name": Path(program).stem,
        "network_interface_name": "lo",
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": 0,
        "output_data_dir": str(root / "output" / "data"),
        "output_dir": str(root / "output"),
        "output_intermediate_dir": str(root / "output" / "intermediate"),
        "resource_config": _RESOURCES,
        "user_entry_point": program,
    }
    plain = {f"SM_{name.upper()}": _text(value) for name, value in environment.items()}
    del plain["SM_CHANNEL_INPUT_DIRS"], plain["SM_HYPERPARAMETERS"]
    plain |= {"SM_CHANNELS": json.dumps(sorted(channels)), "SM_HPS": json.dumps(_own(hyperparameters))}
    plain |= {"SM_USER_ARGS": json.dumps(arguments), "SM_TRAINING_ENV": json.dumps(environment)}
    plain |= {"SM_FRAMEWORK_PARAMS": "{}"}
    plain |= {f"SM_CHANNEL_{name.upper()}": path for name, path in channels.items()}
    return plain | {f"SM_HP_{name.upper()}": _text(value) for name, value in _own(hyperparameters).items()}


_RESOURCES = {"current_host": HOST, "hosts": [HOST], "network_interface_name": "lo"}


def _channel_config(described: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    return {channel["ChannelName"]: shown for channel in described.get("InputDataConfig", [])}


def _write_config(described: Mapping[str, Any], root: Path) -> None:
    files = {
        "hyperparameters": described.get("HyperParameters", {}),
        "inputdataconfig": _channel_config(described),
        "resourceconfig": _RESOURCES,
    }
    for name, content in files.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content))


def _metrics(algorithm: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    """Return the last value that each metric's regular expression finds in the log."""
    found = []
    for metric in algorithm.get("MetricDefinitions") or []:
        values = re.findall(metric["Regex"], text)
        if values:
            last = values[-1] if isinstance(values[-1], str) else values[-1][0]
            found.append({"MetricName": metric["Name"], "Value": float(last), "Timestamp": now()})
    return found


def _reason(root: Path, text: str, command: Sequence[str]) -> str:
    failure = root / "output" / "failure"
    if failure.is_file():
        return f"AlgorithmError: {failure.read_text(errors='replace').strip()}, exit code: 1"
    said = " ".join(["python3", *command[1:]])
    return (
        f'AlgorithmError: ExecuteUserScriptError: ErrorMessage "{last_exception(text)}" Command "{said}", exit code: 1'
    )


KIND = Kind("Training", "training_jobs", check, run, begin)
