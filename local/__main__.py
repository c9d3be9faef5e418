"""Start the laptop cloud: python -m local --port 4566 --state build/cloud."""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from pathlib import Path

from local import shell

FORGOTTEN = shell.forget()  # before moto's modules make sessions, which a profile that is not there would fail

from local.bootstrap import CannotBootstrap, bootstrap, exports  # noqa: E402
from local.cloud import Cloud  # noqa: E402
from local.server import CannotStart, serve  # noqa: E402

LAST_PORT = 65_535


def main() -> int:
    """Run until told to end; 2 means that it could not start, and the one line printed says why."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--port", type=port, default=4566)
    parser.add_argument("--state", type=Path, default=Path("build/cloud"), help="folder for objects, logs and workers")
    parser.add_argument("--speed", type=float, default=1.0, help="how many seconds of shard limits pass in a second")
    parser.add_argument("--seed", default="", help="make the same data keys in each run, so that it comes again")
    parser.add_argument("--bootstrap", action="store_true", help="bootstrap it for the CDK, print what to export")
    arguments = parser.parse_args()
    if not 0 < arguments.speed < math.inf:
        parser.error("--speed must be more than 0; 1 is AWS's own pace")
    cloud = Cloud(arguments.port, arguments.state.resolve(), speed=arguments.speed, seed=arguments.seed)
    logging.raiseExceptions = False  # on a full disk each line that cannot be logged would print a traceback
    try:
        cloud.state.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(
            filename=cloud.state / "cloud.log",
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
        )
        serve(cloud, lambda: greet(cloud, for_cdk=arguments.bootstrap))
    except (CannotStart, CannotBootstrap, OSError) as failure:
        print(f"local: {failure}", file=sys.stderr)
        return 2
    return 0


def port(text: str) -> int:
    """Read the number of a port; argparse tells in one line what else may be written."""
    if not (text.isdecimal() and 0 < int(text) <= LAST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a whole number from 1 to {LAST_PORT}")
    return int(text)


def greet(cloud: Cloud, *, for_cdk: bool) -> None:
    """Say that the cloud is ready; with `for_cdk`, make it so for the CDK too, and say what to export."""
    print(f"laptop cloud ready at {cloud.endpoint} (state in {cloud.state})", flush=True)
    if for_cdk:
        bootstrap(cloud)
        print(
            f"bootstrapped for the CDK; Ctrl-C ends it; in another shell:\n\n{exports(cloud, FORGOTTEN)}\n", flush=True
        )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Request threads may be at work, and DuckDB's bindings complain at length about what lives at an orderly exit.
    os._exit(code)
