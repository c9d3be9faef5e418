"""Keep a public address from floods and from hosts of bad repute."""

from __future__ import annotations

from aws_cdk import aws_apigateway as gateway
from aws_cdk import aws_wafv2 as waf
from constructs import Construct

MOST_REQUESTS = 10_000
"""Requests of one address in five minutes: 33 a second, more than any page or device sends, but not an office's."""


class Firewall(Construct):
    """Refuse requests to a stage by address: too many in five minutes, or on Amazon's list of bad repute."""

    def __init__(self, scope: Construct, id: str, *, protects: gateway.Stage) -> None:
        super().__init__(scope, id)
        # L1s: the module has no L2. AWS's common rules are left out: they refuse bodies of more than 8 KB.
        acl = waf.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=seen("Firewall"),
            rules=[
                waf.CfnWebACL.RuleProperty(
                    name="Floods",
                    priority=0,
                    action=waf.CfnWebACL.RuleActionProperty(block={}),
                    statement=waf.CfnWebACL.StatementProperty(
                        rate_based_statement=waf.CfnWebACL.RateBasedStatementProperty(
                            aggregate_key_type="IP", limit=MOST_REQUESTS
                        )
                    ),
                    visibility_config=seen("Floods"),
                ),
                waf.CfnWebACL.RuleProperty(
                    name="BadRepute",
                    priority=1,
                    override_action=waf.CfnWebACL.OverrideActionProperty(none={}),
                    statement=waf.CfnWebACL.StatementProperty(
                        managed_rule_group_statement=waf.CfnWebACL.ManagedRuleGroupStatementProperty(
                            vendor_name="AWS", name="AWSManagedRulesAmazonIpReputationList"
                        )
                    ),
                    visibility_config=seen("BadRepute"),
                ),
            ],
        )
        waf.CfnWebACLAssociation(self, "Stage", resource_arn=protects.stage_arn, web_acl_arn=acl.attr_arn)


def seen(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    """Count what a rule does; keep no sample of requests, which hold people's addresses."""
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=f"RivermillFront{name}", sampled_requests_enabled=False
    )
