"""Start a laptop cloud for the demo, deploy into it with the real CDK CLI, and end it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from demo.progress import tell

ROOT = Path(__file__).parents[1]
SPEED = 20  # a shard takes 20 seconds' worth a second: the demo's fortnight need not take as long as AWS's limits say
SEED = "1"  # of keys: tokens follow from it, from these who is held out, and so what a model is judged by


class DemoFailed(RuntimeError):
    """A step of the demo went wrong; the message says what and where to look."""


@dataclass(frozen=True, slots=True)
class Laptop:
    """A running laptop cloud: only its address and these credentials tell it from AWS."""

    endpoint: str
    logs: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any client at it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "laptop",
            "AWS_SECRET_ACCESS_KEY": "laptop",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",  # which the CDK CLI prefers
            # A person's own files may say `ignore_configured_endpoint_urls`, and requests would go to AWS.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def enter(self) -> None:
        """Point this process at it, and at nothing else: whatever the user's shell says of AWS is forgotten."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        direct = ",".join([*filter(None, [said]), "localhost", "127.0.0.1", "::1"])
        os.environ.update(self.environment, no_proxy=direct, NO_PROXY=direct)

    def client(self, service: str) -> Any:
        """Make a boto3 client of `service`."""
        return boto3.client(service)

    def bootstrap(self) -> None:
        """Make the account ready for the CDK, from a folder without an app: in the app's, the CLI synthesizes it."""
        account = self.client("sts").get_caller_identity()["Account"]
        self.cdk("bootstrap", f"aws://{account}/{self.environment['AWS_DEFAULT_REGION']}", folder=self.logs)

    def cdk(self, *arguments: str, folder: Path = ROOT) -> str:
        """Run the project's CDK CLI; return what it printed."""
        log = self.logs / f"cdk-{arguments[0]}.log"
        command = [str(ROOT / "node_modules" / ".bin" / "cdk"), *arguments, "--no-notices"]
        with log.open("w") as output:
            done = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            lines = log.read_text(errors="replace").splitlines()
            raise DemoFailed("\n".join([f"`cdk {arguments[0]}` failed; the end of {log}:", *lines[-15:]]))
        return log.read_text(errors="replace")


@contextmanager
def laptop_cloud(folder: Path) -> Iterator[Laptop]:
    """Run a laptop cloud with fresh state in `folder` until the block ends; nothing of it is left running."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    command = [sys.executable, "-m", "local", "--port", str(port), "--state", str(folder), "--speed", str(SPEED)]
    command += ["--seed", SEED]
    with (folder / "server.log").open("w") as errors:
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert server.stdout
            if not (line := server.stdout.readline()):
                raise DemoFailed((folder / "server.log").read_text().strip() or "the laptop cloud did not start")
            tell(line.strip())
            laptop = Laptop(endpoint=f"http://localhost:{port}", logs=folder)
            laptop.enter()
            yield laptop
        finally:
            server.terminate()
            server.wait(timeout=30)


def free_port() -> int:
    """Find a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
