"""The REST front as its template declares it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_kinesis as kinesis
from jsonschema import Draft4Validator

from domain.contract.fakes import fake
from domain.events import EVENTS
from domain.ingest.posts import MOST_EVENTS
from stacks.config import CONFIGS, Config
from stacks.constructs.rest_front import REFUSALS, RestFront
from stacks.constructs.way_in import WayIn
from tests.stacks.synthesized import Template, only, resources

CONFIG = replace(
    CONFIGS["dev"],
    front_clients=("kiosk", "web"),
    front_origins=("https://a.example", "https://b.example"),
    front_rate=1_009,
    front_quota=15_485_863,
    front_firewall=False,
    log_days=731,
)


def template(config: Config = CONFIG) -> Template:
    app = App(context={"aws:cdk:disable-asset-staging": True}, tree_metadata=False)
    stack = Stack(app, "Front", env={"account": "123456789012", "region": "us-east-1"})
    RestFront(stack, "Front", way_in=WayIn(kinesis.Stream(stack, "Events")), config=config)
    found: Template = app.synth().get_stack_by_name("Front").template
    return found


@pytest.fixture(scope="module")
def front() -> Template:
    return template()


def properties(front: Template, kind: str) -> list[Any]:
    return [found["Properties"] for found in resources(front, f"AWS::ApiGateway::{kind}").values()]


def test_every_client_has_a_key_a_rate_and_a_quota_of_its_own(front: Template) -> None:
    plans = properties(front, "UsagePlan")

    assert len(properties(front, "ApiKey")) == len(properties(front, "UsagePlanKey")) == len(plans) == 2
    assert {plan["UsagePlanName"] for plan in plans} == {"rivermill-front-kiosk", "rivermill-front-web"}
    assert {(plan["Throttle"]["RateLimit"], plan["Throttle"]["BurstLimit"]) for plan in plans} == {(1_009, 2_018)}
    assert {(plan["Quota"]["Limit"], plan["Quota"]["Period"]) for plan in plans} == {(15_485_863, "DAY")}


def test_the_stage_takes_what_its_clients_may_send_within_what_the_account_may(front: Template) -> None:
    [setting] = only(front, "AWS::ApiGateway::Stage")["MethodSettings"]

    assert (setting["ThrottlingRateLimit"], setting["ThrottlingBurstLimit"]) == (2_018, 4_036)
    [most] = only(template(replace(CONFIG, front_rate=10_000)), "AWS::ApiGateway::Stage")["MethodSettings"]
    assert most["ThrottlingBurstLimit"] == 5_000


def test_no_value_of_a_key_stands_in_the_template(front: Template) -> None:
    assert not [key for key in properties(front, "ApiKey") if "Value" in key]
    assert {front["Outputs"][name]["Value"]["Ref"] for name in ("FrontKeyKiosk", "FrontKeyWeb")} == set(
        resources(front, "AWS::ApiGateway::ApiKey")
    )


def test_whoever_posts_needs_a_key_and_is_held_to_a_shape(front: Template) -> None:
    methods = properties(front, "Method")
    posts = [method for method in methods if method["HttpMethod"] == "POST"]

    assert {method["HttpMethod"] for method in methods} == {"POST", "OPTIONS"}
    assert len(posts) == 2
    for post in posts:
        assert (post["ApiKeyRequired"], post["AuthorizationType"]) == (True, "CUSTOM")
        assert post["AuthorizerId"]
        assert post["RequestValidatorId"]
        assert post["RequestModels"]["application/json"]


def test_only_tls_with_forward_secrecy_is_spoken(front: Template) -> None:
    api = only(front, "AWS::ApiGateway::RestApi")

    assert (api["SecurityPolicy"], api["EndpointAccessMode"]) == ("SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09", "STRICT")


def test_logs_tell_nothing_of_a_person(front: Template) -> None:
    stage = only(front, "AWS::ApiGateway::Stage")
    [setting] = stage["MethodSettings"]
    groups = [found["Properties"] for found in resources(front, "AWS::Logs::LogGroup").values()]

    assert (setting["LoggingLevel"], setting["DataTraceEnabled"]) == ("OFF", False)
    assert not [
        word
        for word in ("sourceIp", "userAgent", "caller", "$context.path")
        if word in stage["AccessLogSetting"]["Format"]
    ]
    assert {group["RetentionInDays"] for group in groups} == {731}


@pytest.mark.parametrize("kind", REFUSALS)
def test_every_refusal_of_the_gateway_is_json_that_a_page_may_read(front: Template, kind: str) -> None:
    [found] = [each for each in properties(front, "GatewayResponse") if each["ResponseType"] == kind]
    said = json.loads(found["ResponseTemplates"]["application/json"].replace("$context.error.messageString", '"why"'))

    assert said.keys() == {"error", "field", "fix"}
    assert found.get("StatusCode") == (str(REFUSALS[kind][0]) if REFUSALS[kind][0] else None)
    assert found["ResponseParameters"] == {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"}


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_of_the_contract_has_the_shape_asked_for(front: Template, name: str) -> None:
    one, several = (
        model["Schema"]
        for model in sorted(properties(front, "Model"), key=lambda each: each["Schema"]["type"] == "array")
    )
    event = fake(EVENTS[name], random.Random(1), datetime(2026, 3, 1, tzinfo=timezone.utc))

    Draft4Validator(one).validate(event)
    Draft4Validator(several).validate([event] * MOST_EVENTS)
    assert [fault.message for fault in Draft4Validator(several).iter_errors([event] * (MOST_EVENTS + 1))]
    for field in ("event", "event_id", "event_time", "user_id"):
        assert not Draft4Validator(one).is_valid({key: value for key, value in event.items() if key != field})


def test_the_function_knows_the_origins_and_may_only_put(front: Template) -> None:
    [collect] = [
        found["Properties"]
        for found in resources(front, "AWS::Lambda::Function").values()
        if found["Properties"]["FunctionName"] == "rivermill-collect"
    ]
    allowed = {
        action
        for policy in resources(front, "AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if action.startswith("kinesis:")
    }

    assert collect["Environment"]["Variables"]["ORIGINS"] == "https://a.example,https://b.example"
    assert allowed == {"kinesis:PutRecords"}


def test_a_firewall_stands_before_the_stage_where_it_is_asked_for(front: Template) -> None:
    guarded = template(replace(CONFIG, front_firewall=True))

    assert not resources(front, "AWS::WAFv2::WebACL")
    assert only(guarded, "AWS::WAFv2::WebACLAssociation")["WebACLArn"]["Fn::GetAtt"][0] in guarded["Resources"]
    assert len(only(guarded, "AWS::WAFv2::WebACL")["Rules"]) == 2
