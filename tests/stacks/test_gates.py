"""The gates that stand before a deployment, and that they do stop one."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks

from stacks.config import CONFIGS
from stacks.limits import Limits
from tests.stacks.synthesized import stage


@pytest.mark.slow
def test_cfn_lint_finds_nothing() -> None:
    """In any stage: one run, since each loads the linter and its schemas."""
    linter = shutil.which("cfn-lint")
    assert linter
    templates = [str(path) for name in CONFIGS for path in sorted(stage(name).folder.glob("*.template.json"))]
    assert len(templates) >= 2 * len(CONFIGS)
    # W3005: the CDK names a role in DependsOn beside the role's policies, though a reference says the same.
    done = subprocess.run(
        [linter, "--ignore-checks", "W3005", "--", *templates], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_a_finding_of_cdk_nag_without_a_reason_stops_the_synth() -> None:
    app = App()
    s3.Bucket(Stack(app, "Careless"), "Open")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))

    with pytest.raises(RuntimeError, match="AwsSolutions-S1"):
        app.synth()


def test_a_template_beyond_a_limit_stops_the_synth() -> None:
    app = App()
    stack = Stack(app, "Careless")
    lambda_.CfnEventSourceMapping(
        stack, "Defaults", function_name="any", event_source_arn="arn:aws:kinesis:us-east-1:123456789012:stream/any"
    )
    Validations.of(app).add_plugins(Limits())

    with pytest.raises(RuntimeError, match="Defaults: MaximumRetryAttempts must be written down"):
        app.synth()
