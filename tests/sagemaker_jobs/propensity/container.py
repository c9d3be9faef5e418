"""Run the jobs as SageMaker's containers do: a folder laid out like /opt/ml, and nothing but its variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sagemaker_jobs.propensity.package import build_baseline, build_source
from tests.sagemaker_jobs.propensity.shoppers import write_channel

RUN = "daily-2026-03-01"


@dataclass(frozen=True, slots=True)
class Container:
    """A folder that stands for /opt/ml."""

    root: Path

    @property
    def model(self) -> Path:
        """Where training leaves its model."""
        return self.root / "model"

    def prepare(self, table: pa.Table) -> None:
        """Lay down the code, the dataset and the baseline as champion."""
        with tarfile.open(build_source(self.root / "source.tar.gz")) as archive:
            archive.extractall(self.root / "code")
        write_channel(table, self.root / "dataset")
        build_baseline(self.root / "champion" / "model.tar.gz")

    def train(self, seed: int = 7) -> str:
        """Train; give the log."""
        variables = {
            "SM_CHANNEL_DATASET": self.root / "dataset",
            "SM_MODEL_DIR": self.model,
            "SM_HP_RUN": RUN,
            "SM_HP_DAY": "2026-03-01",
            "SM_HP_TABLE": "features.propensity",
            "SM_HP_SNAPSHOT": "6871256214523178491",
            "SM_HP_SEED": seed,
        }
        return self._run(["train.py", "--seed", str(seed)], variables)

    def pack(self, place: str) -> None:
        """Pack the model, as SageMaker does after training, to be `candidate` or `champion`."""
        folder = self.root / place
        folder.mkdir(exist_ok=True)
        with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
            for path in self.model.iterdir():
                archive.add(path, path.name)

    def validate(self) -> dict[str, Any]:
        """Judge; give the report."""
        variables = {name.upper(): self.root / name for name in ("dataset", "candidate", "champion", "output")}
        self._run(["validate.py"], {**variables, "RUN": RUN, "SEED": "7"})
        report: dict[str, Any] = json.loads((self.root / "output" / "report.json").read_text())
        return report

    def _run(self, command: list[str], variables: dict[str, Any]) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {name: str(value) for name, value in variables.items()}
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.root / "code",
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise JobFailed(done.stderr)
        return done.stdout


class JobFailed(RuntimeError):
    """A job ended with an error; the message is its standard error."""
