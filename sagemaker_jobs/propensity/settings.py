"""What the stacks and the state machine tell the propensity jobs."""

from __future__ import annotations

from dataclasses import dataclass

from domain.settings import Settings

TRAINING_METRICS: tuple[tuple[str, str], ...] = tuple(
    (name, rf"{name}=([-+0-9.eE]+);")
    for name in ("train_rows", "cross_validated_log_loss", "calibrated_log_loss", "calibrated_auc")
)
"""What training prints, each with the expression that finds it in the log (MetricDefinitions)."""

SERVE_ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "serve.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
    "OMP_NUM_THREADS": "1",  # the container runs a worker a core already
}
"""The environment of a model's container."""

VALIDATE_ENTRYPOINT = (
    "/bin/bash",
    "-c",
    "cd /opt/ml/processing/input/code && tar -xzf *.gz"
    " && python3 -m pip install --quiet --disable-pip-version-check -r requirements.txt && python3 validate.py",
)
"""The command of the validation's container; a processing job unpacks its own code."""


@dataclass(frozen=True, slots=True)
class TrainSettings(Settings):
    """What SageMaker's training toolkit tells: folders, and hyperparameters as SM_HP_*."""

    sm_channel_dataset: str
    sm_model_dir: str
    sm_hp_run: str
    sm_hp_day: str
    sm_hp_table: str
    sm_hp_snapshot: str
    sm_hp_seed: str


@dataclass(frozen=True, slots=True)
class ValidateSettings(Settings):
    """The folders that a processing job is given, the name of the run, the seed of its draws."""

    dataset: str
    candidate: str
    champion: str
    output: str
    run: str
    seed: str


VALIDATE = ValidateSettings(
    dataset="/opt/ml/processing/input/dataset",
    candidate="/opt/ml/processing/input/candidate",
    champion="/opt/ml/processing/input/champion",
    output="/opt/ml/processing/output",
    run="",  # the state machine's to say
    seed="7",
)
"""Where the processing job's inputs and outputs are inside its container."""
