"""Who reads the views that mask: the analyst them alone, their definer the tables under them."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Environment, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template
from cdk_nag import AwsSolutionsChecks

from domain.privacy import masking
from stacks.config import CONFIGS, with_said
from stacks.constructs.masked_views import MaskedViews
from stacks.lake import LakeStack
from stacks.limits import Limits
from stacks.privacy import PrivacyStack
from tests.stacks.synthesized import FLAGS
from tests.test_iam import DUTIES, TAKE_NO_RESOURCE, allowed, by_role, duties, listed, spelled


def synthesized() -> dict[str, Any]:
    stack = Stack(App(), "Some")
    analyst = iam.Role(stack, "Analyst", assumed_by=iam.AccountPrincipal("1"))
    MaskedViews(stack, "Views", analyst=analyst)
    found: dict[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return found


def test_the_analyst_is_granted_views_and_no_table_under_them() -> None:
    found = synthesized()
    views = [each["Properties"] for each in found.values() if each["Type"] == "AWS::Glue::Table"]
    grants = [
        each["Properties"] for each in found.values() if each["Type"] == "AWS::LakeFormation::PrincipalPermissions"
    ]
    databases: dict[str, set[str]] = {}
    for grant in grants:
        [who] = [name for name in ("Analyst", "Definer") if name in str(grant["Principal"])]
        databases.setdefault(who, set()).add(grant["Resource"]["Table"]["DatabaseName"])
    analyst = next(
        each["Properties"]["PolicyDocument"]
        for name, each in found.items()
        if each["Type"] == "AWS::IAM::Policy" and name.startswith("AnalystDefaultPolicy")
    )

    assert {view["TableInput"]["Name"] for view in views} == {table.name for table in masking.MASKED}
    assert all(view["TableInput"]["ViewDefinition"]["IsProtected"] for view in views)
    assert databases == {"Analyst": {masking.DATABASE}, "Definer": {"curated"}}
    assert "curated" not in str(analyst)
    assert "s3:" not in str(analyst)


@pytest.fixture(scope="module")
def switched_on() -> dict[str, Any]:
    """The stacks of the three duties as the switch makes them, held to the rules that stop a synth."""
    app = App(context={**FLAGS, "aws:cdk:disable-asset-staging": True}, tree_metadata=False)
    env, config = Environment(region="us-east-1"), with_said(CONFIGS["dev"], masking="on")
    lake = LakeStack(app, "Rivermill-Lake", env=env, config=config)
    PrivacyStack(app, "Rivermill-Privacy", env=env, lake=lake, config=config)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), Limits())
    made = app.synth()
    return {stack.stack_name: stack.template for stack in made.stacks}


def test_switched_on_no_role_can_do_two_duties_or_reads_what_is_under_a_view(switched_on: dict[str, Any]) -> None:
    held = by_role(switched_on)
    [analyst] = [statements for role, statements in held.items() if "<Analyst" in role]
    read = {
        spelled(place) for each in analyst if "s3:GetObject" in each["Action"] for place in listed(each["Resource"])
    }

    assert {duty for able in map(duties, held.values()) for duty in able} == set(DUTIES)
    assert not {role: duties(statements) for role, statements in held.items() if len(duties(statements)) > 1}
    assert read == {"<lake>/published/*", "<lake>/athena/*"}


def test_switched_on_a_wildcard_is_lake_formation_s_alone(switched_on: dict[str, Any]) -> None:
    """Who is granted data there takes it by an action that names no resource; what it opens, grants say."""
    everywhere = {
        action
        for _, each in allowed(switched_on)
        if "*" in listed(each["Resource"])
        for action in listed(each["Action"])
    }

    assert everywhere <= TAKE_NO_RESOURCE | {"lakeformation:GetDataAccess"}
    assert "lakeformation:GetDataAccess" in everywhere
