"""REST APIs as their clients see them. Source: Amazon API Gateway Developer Guide, REST APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.api_gateway.addresses import here
from local.api_gateway.admission import Bucket, Throttles
from local.api_gateway.front import rest_apis
from local.api_gateway.refusals import Refused
from local.cloud import Cloud
from tests.local.builders import Clock, any_name, make_function

ECHO = "def handle(event, context): return {'statusCode': 200, 'body': __import__('json').dumps(event)}"
ADMIT = """
def handle(event, context):
    name = event["headers"].get("X-Name")
    if name == "unauthorized":
        raise Exception("Unauthorized")
    effect = "Deny" if name == "denied" else "Allow"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {"principalId": "p", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
"""
BROKEN = {
    "raises": "def handle(event, context): raise ValueError('x')",
    "no status": "def handle(event, context): return {'body': 'x'}",
    "text": "def handle(event, context): return 'x'",
    "too slow": "import time\ndef handle(event, context): time.sleep(9)",
}


def uri(function: str) -> str:
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"


def resource(parent: Any, part: str) -> dict[str, Any]:
    return {
        "Type": "AWS::ApiGateway::Resource",
        "Properties": {"RestApiId": {"Ref": "Api"}, "ParentId": parent, "PathPart": part},
    }


def method(where: Any, verb: str, function: str, **more: Any) -> dict[str, Any]:
    integration = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": uri(function)}
    own = {"RestApiId": {"Ref": "Api"}, "ResourceId": where, "HttpMethod": verb, "AuthorizationType": "NONE"}
    return {"Type": "AWS::ApiGateway::Method", "Properties": {**own, "Integration": integration, **more}}


ROOT = {"Fn::GetAtt": ["Api", "RootResourceId"]}
OF_API = {"RestApiId": {"Ref": "Api"}}


def template(functions: Mapping[str, str]) -> dict[str, Any]:
    """Declare an API with a path of its own, a greedy one, an authorized one, a validated one and some that break."""
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "maximum": 3}}}
    resources: dict[str, Any] = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "trial"}},
        "Thing": resource(ROOT, "things"),
        "One": resource({"Ref": "Thing"}, "{id}"),
        "New": resource({"Ref": "Thing"}, "new"),
        "Files": resource(ROOT, "files"),
        "Any": resource({"Ref": "Files"}, "{path+}"),
        "Closed": resource(ROOT, "closed"),
        "Checked": resource(ROOT, "checked"),
        "GetOne": method({"Ref": "One"}, "GET", functions["echo"]),
        "GetNew": method({"Ref": "New"}, "GET", functions["echo"]),
        "AnyFile": method({"Ref": "Any"}, "ANY", functions["echo"]),
        "GetClosed": method(
            {"Ref": "Closed"},
            "GET",
            functions["echo"],
            AuthorizationType="CUSTOM",
            AuthorizerId={"Ref": "Authorizer"},
        ),
        "Authorizer": {
            "Type": "AWS::ApiGateway::Authorizer",
            "Properties": {
                **OF_API,
                "Name": "names",
                "Type": "REQUEST",
                "AuthorizerUri": uri(functions["admit"]),
                "IdentitySource": "method.request.header.X-Name,method.request.querystring.q",
                "AuthorizerResultTtlInSeconds": 60,
            },
        },
        "Model": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {**OF_API, "Name": "Counted", "ContentType": "application/json", "Schema": schema},
        },
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {**OF_API, "ValidateRequestBody": True, "ValidateRequestParameters": True},
        },
        "PostChecked": method(
            {"Ref": "Checked"},
            "POST",
            functions["echo"],
            RequestValidatorId={"Ref": "Validator"},
            RequestModels={"application/json": {"Ref": "Model"}},
            RequestParameters={"method.request.querystring.q": True, "method.request.header.X-Own": False},
        ),
        "Wrong": {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                **OF_API,
                "ResponseType": "DEFAULT_5XX",
                "ResponseParameters": {"gatewayresponse.header.X-Own": "'yes'"},
                "ResponseTemplates": {"application/json": '{"why": $context.error.messageString}'},
            },
        },
    }
    for number, name in enumerate(BROKEN):
        resources[f"Broken{number}"] = resource(ROOT, f"broken{number}")
        resources[f"GetBroken{number}"] = method({"Ref": f"Broken{number}"}, "GET", functions[name])
    methods = [name for name, found in resources.items() if found["Type"].endswith("::Method")]
    resources["Deployment"] = {"Type": "AWS::ApiGateway::Deployment", "Properties": OF_API, "DependsOn": methods}
    resources["Stage"] = {
        "Type": "AWS::ApiGateway::Stage",
        "Properties": {**OF_API, "DeploymentId": {"Ref": "Deployment"}, "StageName": "try"},
    }
    url = {
        "Fn::Join": ["", ["https://", {"Ref": "Api"}, ".execute-api.us-east-1.amazonaws.com/", {"Ref": "Stage"}, "/"]]
    }
    return {"Resources": resources, "Outputs": {"Url": {"Value": url}}}


class Trial:
    """The API, deployed."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.client = cloud, cloud.client("cloudformation")
        sources = {"echo": ECHO, "admit": ADMIT, **BROKEN}
        limits: dict[str, Any] = {"too slow": {"Timeout": 1}}
        functions = {name: make_function(cloud, source, **limits.get(name, {})) for name, source in sources.items()}
        self.declared = template(functions)
        assert self.deploy(self.declared) == ["CREATE_COMPLETE"]
        [output] = self.client.describe_stacks(StackName="gateway")["Stacks"][0]["Outputs"]
        self.url = str(output["OutputValue"])

    def deploy(self, declared: dict[str, Any], name: str = "gateway") -> list[str]:
        """Deploy a template; return how it ended, and the reasons of a failure."""
        known = [stack["StackName"] for stack in self.client.describe_stacks()["Stacks"]]
        work = self.client.update_stack if name in known else self.client.create_stack
        work(StackName=name, TemplateBody=json.dumps(declared))
        ended = str(self.client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        if ended.endswith("ROLLBACK_COMPLETE"):
            events = self.client.describe_stack_events(StackName=name)["StackEvents"]
            return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]
        return [ended]

    def ask(self, path: str, verb: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, Any, Any]:
        where = urlsplit(self.url)
        connection = HTTPConnection("127.0.0.1", where.port or 80)
        connection.request(verb, where.path + path, body, {n.replace("_", "-"): v for n, v in headers.items()})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text or b"null"), answer.headers


def remove(cloud: Cloud, stack: str) -> None:
    client = cloud.client("cloudformation")
    client.delete_stack(StackName=stack)
    client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})


@pytest.fixture(scope="module")
def trial(cloud: Cloud) -> Iterator[Trial]:
    found = Trial(cloud)
    yield found
    remove(cloud, "gateway")
    assert cloud.client("apigateway").get_rest_apis()["items"] == []


@pytest.mark.slow
def test_an_output_that_spells_the_address_in_aws_tells_the_one_here(trial: Trial) -> None:
    assert trial.url.startswith(f"{trial.cloud.endpoint}/restapis/")
    assert trial.url.endswith("/try/_user_request_/")
    assert here(trial.cloud, "https://other.execute-api.us-east-1.amazonaws.com/try", {"api"}).startswith(
        "https://other"
    )


@pytest.mark.slow
def test_a_request_becomes_an_event_of_a_proxy_integration(trial: Trial) -> None:
    status, event, _ = trial.ask("things/a%20b?q=1&q=2", X_Own="yes", Origin="http://page.example")

    assert status == 200
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/things/{id}", "/things/a b", "GET")
    assert event["pathParameters"] == {"id": "a b"}
    assert event["queryStringParameters"] == {"q": "2"}
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"]}
    assert (event["headers"]["X-Own"], event["body"], event["isBase64Encoded"]) == ("yes", None, False)
    assert event["requestContext"]["stage"] == "try"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "path", "found"),
    [
        ("GET", "things/new", "/things/new"),
        ("GET", "things/old", "/things/{id}"),
        ("DELETE", "files/a/b/c", "/files/{path+}"),
    ],
)
def test_the_plainest_path_answers(trial: Trial, verb: str, path: str, found: str) -> None:
    assert trial.ask(path, verb)[1]["resource"] == found


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "path"), [("POST", "things/new"), ("GET", "things"), ("GET", "nothing"), ("GET", "")])
def test_a_method_that_is_not_there_is_403_as_in_aws(trial: Trial, verb: str, path: str) -> None:
    assert trial.ask(path, verb)[:2] == (403, {"message": "Missing Authentication Token"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "q", "status"),
    [("anna", "1", 200), ("denied", "1", 403), ("unauthorized", "1", 401), ("anna", "", 401), ("", "1", 401)],
)
def test_an_authorizer_decides_and_an_absent_identity_is_401(trial: Trial, name: str, q: str, status: int) -> None:
    assert trial.ask(f"closed?q={q}", "GET", b"", **({"X_Name": name} if name else {}))[0] == status


@pytest.mark.slow
def test_an_authorizers_answer_is_kept(trial: Trial) -> None:
    before = _invocations(trial)
    for _ in range(5):
        trial.ask("closed?q=kept", X_Name="anna")

    assert _invocations(trial) == before + 1


def _invocations(trial: Trial) -> int:
    authorizer = trial.declared["Resources"]["Authorizer"]["Properties"]["AuthorizerUri"]
    function = authorizer.split(":function:")[1].partition("/")[0]
    group = f"/aws/lambda/{function}"
    groups = trial.cloud.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    if not groups:
        return 0
    events = trial.cloud.client("logs").filter_log_events(logGroupName=group)["events"]
    return sum(event["message"].startswith("START") for event in events)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("checked?q=1", b'{"n": 3}', "application/json", 200),
        ("checked?q=1", b'{"n": 4}', "application/json; charset=utf-8", 400),
        ("checked?q=1", b'{"n": "3"}', "application/json", 400),
        ("checked?q=1", b"{", "application/json", 400),
        ("checked?q=1", b"", "application/json", 400),
        ("checked?q=1", b"anything", "text/plain", 200),
        ("checked", b'{"n": 3}', "application/json", 400),
    ],
)
def test_a_request_is_held_to_its_parameters_and_the_model_of_its_content_type(
    trial: Trial, path: str, body: bytes, kind: str, status: int
) -> None:
    assert trial.ask(path, "POST", body, Content_Type=kind)[0] == status


@pytest.mark.slow
@pytest.mark.parametrize("fault", BROKEN)
def test_a_function_that_fails_is_answered_by_the_gateways_response(trial: Trial, fault: str) -> None:
    status, answer, headers = trial.ask(f"broken{list(BROKEN).index(fault)}")

    assert status == (504 if fault == "too slow" else 502)
    assert answer == {"why": "Endpoint request timed out" if fault == "too slow" else "Internal server error"}
    assert headers["X-Own"] == "yes"


@pytest.mark.slow
def test_a_stage_takes_a_throttle_by_a_second_deployment(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(rest_apis(trial.cloud).throttles, "now", clock)
    changed = deepcopy(trial.declared)
    setting = {"HttpMethod": "*", "ResourcePath": "/*", "ThrottlingRateLimit": 1, "ThrottlingBurstLimit": 2}
    changed["Resources"]["Stage"]["Properties"]["MethodSettings"] = [setting]

    assert trial.deploy(changed) == ["UPDATE_COMPLETE"]
    at_once = [trial.ask("things/new")[0] for _ in range(4)]
    clock.seconds += 1
    later = [trial.ask("things/new")[0] for _ in range(2)]
    assert (at_once, later) == ([200, 200, 429, 429], [200, 429])

    setting["ThrottlingRateLimit"] = setting["ThrottlingBurstLimit"] = 1000
    assert trial.deploy(changed) == ["UPDATE_COMPLETE"]
    assert trial.ask("things/new")[0] == 200


UNMADE: dict[str, tuple[str, str, Any]] = {
    "binary media": ("Api", "BinaryMediaTypes", ["*/*"]),
    "keys from an authorizer": ("Api", "ApiKeySourceType", "AUTHORIZER"),
    "an API of a body": ("Api", "Body", {"openapi": "3.0.0"}),
    "IAM": ("GetNew", "AuthorizationType", "AWS_IAM"),
    "a mock": ("GetNew", "Integration", {"Type": "MOCK"}),
    "a service": (
        "GetNew",
        "Integration",
        {"Type": "AWS", "Uri": "arn:aws:apigateway:us-east-1:kinesis:action/PutRecord"},
    ),
    "a timeout": ("GetNew", "Integration", {"Type": "AWS_PROXY", "Uri": uri("f"), "TimeoutInMillis": 50}),
    "a token authorizer": ("Authorizer", "Type", "TOKEN"),
    "an identity of the stage": ("Authorizer", "IdentitySource", "stageVariables.x"),
    "a cache": ("Stage", "CacheClusterEnabled", True),
    "a cached method": ("Stage", "MethodSettings", [{"HttpMethod": "*", "ResourcePath": "/*", "CachingEnabled": True}]),
    "a mapped header": ("Wrong", "ResponseParameters", {"gatewayresponse.header.X": "method.request.header.X"}),
    "a property of no one": ("Stage", "Nonsense", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("lack", UNMADE)
def test_what_is_not_served_is_refused_by_name_when_it_is_deployed(trial: Trial, lack: str) -> None:
    changed, name = deepcopy(trial.declared), any_name("unmade")
    logical_id, given, value = UNMADE[lack]
    changed["Resources"][logical_id]["Properties"][given] = value
    reasons = trial.deploy(changed, name)
    remove(trial.cloud, name)

    assert any(given.removesuffix("s") in reason for reason in reasons), reasons


@given(
    rate=st.integers(1, 100),
    burst=st.integers(1, 200),
    waits=st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_no_more_than_the_burst_and_the_rate_go_through(rate: int, burst: int, waits: list[float]) -> None:
    bucket, now, taken = Bucket(rate, burst, burst, 0.0), 0.0, 0
    for wait in waits:
        now += wait
        taken += bucket.take(now)

    assert min(len(waits), burst) <= taken <= burst + rate * now + 1e-6


def test_a_hurried_clock_gives_tokens_back_faster() -> None:
    moments = iter([0.0, 0.0, 0.1, 0.1])
    throttles = Throttles(lambda: 10.0, now=lambda: next(moments))
    throttles.rate(("key",), 1, 1)
    with pytest.raises(Refused):
        throttles.rate(("key",), 1, 1)

    throttles.rate(("key",), 1, 1)
    with pytest.raises(Refused):
        throttles.rate(("key",), 1, 1)


@pytest.mark.parametrize(
    ("period", "same", "next_one"),
    [("DAY", (2026, 3, 1), (2026, 3, 2)), ("WEEK", (2026, 3, 1), (2026, 3, 2)), ("MONTH", (2026, 3, 31), (2026, 4, 1))],
)
def test_a_quota_begins_anew_with_its_period(period: str, same: tuple[int, ...], next_one: tuple[int, ...]) -> None:
    today = [datetime(2026, 3, 1, tzinfo=UTC)]
    throttles = Throttles(lambda: 1.0, today=lambda: today[0])
    throttles.quota(("key",), 1, period)
    today[0] = datetime(*same, tzinfo=UTC)  # type: ignore[arg-type,misc]  # year, month, day
    with pytest.raises(Refused, match="QUOTA_EXCEEDED"):
        throttles.quota(("key",), 1, period)
    today[0] = datetime(*next_one, tzinfo=UTC)  # type: ignore[arg-type,misc]

    throttles.quota(("key",), 1, period)


@pytest.mark.slow
def test_a_key_is_held_to_its_plan_and_counts_against_its_quota(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime(2026, 3, 1, tzinfo=UTC)
    monkeypatch.setattr(rest_apis(cloud).throttles, "today", lambda: today)
    declared = template({name: make_function(cloud, ECHO) for name in ("echo", "admit", *BROKEN)})
    declared["Resources"]["GetNew"]["Properties"]["ApiKeyRequired"] = True
    stage = {"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "Stage"}}
    declared["Resources"] |= {
        "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True}},
        "Off": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": False}},
        "Alone": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True}},
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "Properties": {"ApiStages": [stage], "Quota": {"Limit": 3, "Period": "DAY"}},
        },
    }
    for key in ("Key", "Off"):
        own = {"KeyId": {"Ref": key}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}}
        declared["Resources"][f"Plan{key}"] = {"Type": "AWS::ApiGateway::UsagePlanKey", "Properties": own}
    declared["Outputs"] |= {name: {"Value": {"Ref": name}} for name in ("Key", "Off", "Alone")}
    client = cloud.client("cloudformation")
    client.create_stack(StackName="keys", TemplateBody=json.dumps(declared))
    outputs = {
        each["OutputKey"]: each["OutputValue"]
        for each in client.describe_stacks(StackName="keys")["Stacks"][0]["Outputs"]
    }
    values = {
        name: cloud.client("apigateway").get_api_key(apiKey=outputs[name], includeValue=True)["value"]
        for name in ("Key", "Off", "Alone")
    }
    where = urlsplit(outputs["Url"])
    statuses: dict[str, list[int]] = {}
    for name, value in {**values, "Wrong": "wrong"}.items():
        for _ in range(5 if name == "Key" else 1):
            connection = HTTPConnection("127.0.0.1", where.port or 80)
            connection.request("GET", where.path + "things/new", headers={"x-api-key": value})
            statuses.setdefault(name, []).append(connection.getresponse().status)
            connection.close()
    remove(cloud, "keys")

    assert statuses == {"Key": [200] * 3 + [429] * 2, "Off": [403], "Alone": [403], "Wrong": [403]}
    assert cloud.client("apigateway").get_usage_plans()["items"] == []
