"""A laptop cloud made ready for the CDK: a shell that exports two lines can deploy."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

OWN = Path(__file__).parents[2] / "node_modules" / ".bin"


MISLEADING = {
    "AWS_PROFILE": "nobody",
    "AWS_SESSION_TOKEN": "somebody's",
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


def start(path: str, state: Path, **more: str) -> subprocess.Popen[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "local", "--port", str(port), "--state", str(state), "--bootstrap"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.Popen(
        command, env={**environment, **more, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_shell_that_exports_the_two_lines_finds_the_cloud_bootstrapped_whatever_else_it_says(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-west-1\nignore_configured_endpoint_urls = true\n")
    path = f"{OWN}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("cdk", path=path) is None:
        pytest.skip("the CDK CLI is not installed: npm ci")
    cloud = start(path, tmp_path, HOME=str(tmp_path), **MISLEADING)
    assert cloud.stdout is not None
    said = [cloud.stdout.readline() for _ in range(6)]
    lines = [line for line in said if line.startswith("export ")]
    exported = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:])
    describe = "import boto3, json; c = boto3.client('cloudformation'); print(json.dumps([s['StackStatus'] for s in c"
    describe += ".describe_stacks(StackName='CDKToolkit')['Stacks']]))"
    proxies = {name: value for name, value in MISLEADING.items() if not name.startswith("AWS_")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **proxies, **exported}
    answered = subprocess.run(
        [sys.executable, "-c", describe], env=environment, capture_output=True, text=True, check=False
    )
    under_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    cloud.send_signal(signal.SIGTERM if under_nohup else signal.SIGHUP)  # the terminal is closed
    _, complained = cloud.communicate(timeout=120)

    assert len(lines) == 2
    assert said[3] == "unset AWS_ENDPOINT_URL_STS AWS_PROFILE AWS_SESSION_TOKEN\n"
    assert json.loads(answered.stdout) == ["CREATE_COMPLETE"], answered.stderr
    assert (cloud.returncode, complained) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["cdk", "node"])
def test_a_missing_tool_is_one_line_and_code_2(tmp_path: Path, lacking: str) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    if lacking == "node":
        (tools / "cdk").write_text("#!/bin/sh\n")
        (tools / "cdk").chmod(0o755)
    cloud = start(str(tools), tmp_path / "state")
    _, said = cloud.communicate(timeout=120)

    assert cloud.returncode == 2
    assert said == f"local: there is no {lacking} on the PATH: install Node and the CDK CLI, or leave --bootstrap out\n"


@pytest.mark.slow
def test_a_bootstrap_that_fails_is_one_line_and_code_2(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in {"cdk": "echo first; echo 'no such region'; exit 1", "node": ""}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    cloud = start(str(tools), tmp_path / "state")
    _, said = cloud.communicate(timeout=120)

    log = tmp_path / "state" / "bootstrap.log"
    assert (cloud.returncode, said) == (2, f"local: cdk bootstrap failed: no such region; all it said is in {log}\n")
