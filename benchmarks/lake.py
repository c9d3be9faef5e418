"""A laptop cloud with the lake in it, for benchmarks: deploy, land, commit, run a job, look at the files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.table import Table

from demo.lake import output_of
from demo.laptop import DemoFailed, Laptop, laptop_cloud
from demo.progress import tell

POLL_SECONDS = 1.0
COMPACT = "rivermill-compact"


@dataclass(frozen=True, slots=True)
class File:
    """A data file of a table: where it is, its rows and bytes."""

    key: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Lake:
    """The lake of a laptop cloud."""

    laptop: Laptop
    bucket: str
    catalog: Catalog

    def table(self, name: str) -> Table:
        """Open a table."""
        return self.catalog.load_table(name)

    def files(self, name: str) -> list[File]:
        """List the data files of a table's newest snapshot."""
        tasks = self.table(name).scan().plan_files()
        held = [task.file for task in tasks]
        start = len(f"s3://{self.bucket}/")
        return [File(file.file_path[start:], file.record_count, file.file_size_in_bytes) for file in held]

    def compact(self, *tables: str) -> tuple[float, dict[str, Any]]:
        """Run the job that keeps tables in shape; return its seconds and its account of each table."""
        seconds, run = self.run(COMPACT, {"--tables": ",".join(tables)})
        body = self.laptop.client("s3").get_object(Bucket=self.bucket, Key=f"runs/{run}/compact.json")["Body"].read()
        account: dict[str, Any] = json.loads(body)["tables"]
        return seconds, account

    def run(self, job: str, arguments: Mapping[str, str]) -> tuple[float, str]:
        """Run a job to its end; return how many seconds it took, and the run's name."""
        glue, start = self.laptop.client("glue"), time.monotonic()
        run: str = glue.start_job_run(JobName=job, Arguments=dict(arguments))["JobRunId"]
        while (found := glue.get_job_run(JobName=job, RunId=run)["JobRun"])["JobRunState"] in (
            "STARTING",
            "RUNNING",
            "STOPPING",
        ):
            time.sleep(POLL_SECONDS)
        if found["JobRunState"] != "SUCCEEDED":
            raise DemoFailed(f"{job} ended as {found['JobRunState']}: {found.get('ErrorMessage')}")
        return time.monotonic() - start, run

    def add_job(self, name: str, script: Path) -> None:
        """Make a job of another script, with the arguments and modules of the deployed ones."""
        glue, key = self.laptop.client("glue"), f"runs/{script.name}"
        self.laptop.client("s3").put_object(Bucket=self.bucket, Key=key, Body=script.read_bytes())
        known = glue.get_job(JobName=COMPACT)["Job"]
        command = {**known["Command"], "ScriptLocation": f"s3://{self.bucket}/{key}"}
        kept = {part: known[part] for part in ("Role", "DefaultArguments", "GlueVersion")}
        glue.create_job(Name=name, Command=command, **kept)


@contextmanager
def deployed(folder: Path, stacks: Sequence[str]) -> Iterator[Lake]:
    """Run a laptop cloud with some of the stacks deployed into it by the CDK CLI."""
    with laptop_cloud(folder) as laptop:
        tell(f"deploying {', '.join(stacks)}")
        laptop.bootstrap()
        laptop.cdk("deploy", *stacks, "--require-approval", "never")
        bucket = output_of(laptop, "Bucket")
        # Arrow's S3 client does not read AWS_ENDPOINT_URL.
        catalog = load_catalog("lake", type="glue", **{"s3.endpoint": laptop.endpoint, "s3.region": "us-east-1"})
        yield Lake(laptop, bucket, catalog)
