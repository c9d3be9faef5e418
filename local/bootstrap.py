"""Bring the laptop cloud to where `cdk deploy` begins: bootstrapped, with what a shell must export at hand."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from local import processes
from local.cloud import Cloud


class CannotBootstrap(Exception):
    """The CDK's bootstrap failed; the message says why and what to do, in one line."""


def bootstrap(cloud: Cloud) -> None:
    """Run `cdk bootstrap` for the cloud's account and region. Raises `CannotBootstrap`."""
    command = shutil.which("cdk")
    if not command or not shutil.which("node"):
        lacking = "node" if command else "cdk"
        raise CannotBootstrap(
            f"there is no {lacking} on the PATH: install Node and the CDK CLI, or leave --bootstrap out"
        )
    environment = {**os.environ, **cloud.environment(), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    # In an empty folder the CLI finds no app, and needs none.
    with tempfile.TemporaryDirectory() as folder, (cloud.state / "bootstrap.log").open("w+") as log:
        process = processes.start(
            [command, "bootstrap", f"aws://{cloud.account}/{cloud.region}", "--no-notices", "--ci", "--no-color"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        if process.wait():
            log.seek(0)
            last = [line.strip() for line in log if line.strip()][-1:]
            raise CannotBootstrap(f"cdk bootstrap failed: {''.join(last)}; all it said is in {log.name}")


def exports(cloud: Cloud, forgotten: Sequence[str] = ()) -> str:
    """Write the two lines that point a shell's AWS clients at the cloud; one before them unsets what was `forgotten`.

    pyiceberg reads and writes S3 by Arrow, which heeds no AWS_ENDPOINT_URL: its default catalogue is told the address,
    and the region, for which it would ask AWS itself.
    """
    variables = cloud.environment()
    catalogue = {"TYPE": "glue", "S3__ENDPOINT": cloud.endpoint, "S3__REGION": cloud.region}
    first = {"AWS_ENDPOINT_URL": variables.pop("AWS_ENDPOINT_URL")}
    first |= {f"PYICEBERG_CATALOG__DEFAULT__{name}": value for name, value in catalogue.items()}
    left = [name for name in forgotten if name not in (*first, *variables)]
    said = [" ".join(f"{name}={shlex.quote(value)}" for name, value in line.items()) for line in (first, variables)]
    return "\n".join([*([f"unset {' '.join(left)}"] if left else []), *(f"export {line}" for line in said)])
