"""Build the platform: every stack takes the lake, and nothing else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable

if not shutil.which(os.environ.get("JSII_NODE", "node")):  # the CDK's Python starts one when it is imported
    sys.exit("rivermill: there is no node on the PATH: run .venv/bin/python -m local.tools, which puts one into .venv")

from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from domain.events import EVENTS
from domain.privacy import policy
from domain.privacy.policy import RefusedTreatment
from stacks.config import Config, RefusedConfig, config_of, with_origins, with_said
from stacks.constructs.function import TooLarge
from stacks.constructs.layer import LayerFailed
from stacks.experiment import ExperimentStack
from stacks.ingest import IngestStack
from stacks.lake import LakeStack
from stacks.limits import Limits
from stacks.monitor import MonitorStack
from stacks.orchestrate import OrchestrateStack
from stacks.privacy import PrivacyStack
from stacks.process import ProcessStack
from stacks.serve import ServeStack
from stacks.train import TrainStack

REGION = "us-east-1"  # where templates are for if nobody says
SETTINGS = ("stage", "broker", "front_origins", "masking", "destroy_data")  # of the command line, by -c


def build(app: App, config: Config, env: Environment, *, destroy_data: bool = False) -> App:
    """Build one stage of the platform, in the order in which data flows; a stage has a region of an account to itself.

    With `destroy_data`, what the lake holds goes when its stack goes; a stage that keeps its data refuses.
    """
    policy.check(EVENTS.values())
    lake = LakeStack(app, "Rivermill-Lake", env=env, config=config, destroy_data=destroy_data)
    IngestStack(app, "Rivermill-Ingest", env=env, lake=lake, config=config)
    ProcessStack(app, "Rivermill-Process", env=env, lake=lake, config=config)
    TrainStack(app, "Rivermill-Train", env=env, lake=lake, config=config)
    ServeStack(app, "Rivermill-Serve", env=env, lake=lake, config=config)
    ExperimentStack(app, "Rivermill-Experiment", env=env, lake=lake, config=config)
    PrivacyStack(app, "Rivermill-Privacy", env=env, lake=lake, config=config)
    OrchestrateStack(app, "Rivermill-Orchestrate", env=env, lake=lake, config=config)
    MonitorStack(app, "Rivermill-Monitor", env=env, lake=lake, config=config)
    Tags.of(app).add("project", "rivermill")
    Tags.of(app).add("stage", config.stage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), Limits())
    return app


def switch(app: App, config: Config) -> bool:
    """Read the switch that gives up data: it must repeat the stage's name."""
    said = app.node.try_get_context("destroy_data")
    if said not in (None, config.stage):
        raise RefusedConfig(f"destroy_data is {said!r}; allowed: {config.stage} (the stage's name), or nothing")
    return said is not None


def check_settings(said: Iterable[str]) -> None:
    """Refuse a word that sets nothing, such as a misspelt one; those of the CDK have a colon or a slash in them."""
    unknown = [name for name in said if not (set(":/") & set(name)) and name not in SETTINGS]
    if unknown:
        raise RefusedConfig(f"-c {unknown[0]}=… sets nothing; there are {', '.join(SETTINGS)}")


def main() -> None:
    """Build the stage that the command line names, where the credentials point."""
    app = App()
    check_settings(app.node.get_all_context())
    said = app.node.try_get_context
    stage = said("stage")
    config = config_of("dev" if stage is None else stage)
    config = with_said(config, broker=said("broker"), masking=said("masking"))
    config = with_origins(config, said("front_origins"))
    env = Environment(
        account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=os.environ.get("CDK_DEFAULT_REGION") or REGION
    )
    build(app, config, env, destroy_data=switch(app, config))
    try:
        app.synth()
    except RuntimeError as failed:
        if "Validation failed" not in str(failed):
            raise
        sys.exit("rivermill: the templates break the rules listed above; nothing was deployed")


if __name__ == "__main__":
    try:
        main()
    except (RefusedConfig, RefusedTreatment, TooLarge, LayerFailed) as refused:
        sys.exit(f"rivermill: {refused}")
