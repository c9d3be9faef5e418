"""Build the platform: every stack takes the lake, and nothing else."""

from __future__ import annotations

import sys

from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from stacks.config import Config, RefusedConfig, config_of
from stacks.ingest import IngestStack
from stacks.lake import LakeStack
from stacks.process import ProcessStack


def build(
    app: App, config: Config, *, region: str = "us-east-1", account: str | None = None, destroy_data: bool = False
) -> None:
    """Build one stage of the platform; a stage has an account and a region to itself."""
    env = Environment(account=account, region=region)
    lake = LakeStack(app, "Rivermill-Lake", config=config, env=env, destroy_data=destroy_data)
    IngestStack(app, "Rivermill-Ingest", env=env, lake=lake, config=config)
    ProcessStack(app, "Rivermill-Process", env=env, lake=lake, config=config)
    Tags.of(app).add("project", "rivermill")
    Tags.of(app).add("stage", config.stage)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def main() -> None:
    """Build the stage that the command line names."""
    app = App()
    config = config_of(app.node.try_get_context("stage") or "dev")
    build(app, config)
    app.synth()


if __name__ == "__main__":
    try:
        main()
    except RefusedConfig as refused:
        sys.exit(f"rivermill: {refused}")
