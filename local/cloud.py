"""Say where the laptop cloud listens and how anything reaches it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local import shell


@dataclass(frozen=True, slots=True)
class Cloud:
    """The running laptop cloud: its port, the folder it may write to, its account and region."""

    port: int
    state: Path
    account: str = "123456789012"
    region: str = "us-east-1"
    speed: float = 1.0  # seconds of AWS's own limits and waits that pass in one of ours; see local/pace.py
    seed: str = ""  # of data keys, so that a run comes again; without one they are random

    @property
    def endpoint(self) -> str:
        """The address that every AWS client is pointed at."""
        return f"http://localhost:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the variables that make a child process's AWS clients talk to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "laptop",
            "AWS_SECRET_ACCESS_KEY": "laptop",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **shell.files(),
            **shell.around_proxies(),
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of `service` against this cloud, made once and shared between threads."""
        return _client(self.endpoint, self.region, service)


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="laptop", aws_secret_access_key="laptop")  # noqa: S106 - not a secret


@functools.cache
def _client(endpoint: str, region: str, service: str) -> Any:
    patience = {"read_timeout": 300, "retries": {"total_max_attempts": 1}}  # a loaded laptop is slow, and never far
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=64, **patience)
    return _session().client(service, endpoint_url=endpoint, region_name=region, config=config)
