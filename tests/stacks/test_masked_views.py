"""Who reads the views that mask: the analyst them alone, their definer the tables under them."""

from __future__ import annotations

from typing import Any

from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from domain.privacy import masking
from stacks.constructs.masked_views import MaskedViews


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
