"""Function URLs over HTTP. Source: AWS Lambda Developer Guide, "Invoking Lambda function URLs"."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local.builders import make_function

pytestmark = pytest.mark.slow

ECHO = "def handle(event, context): return event"


def with_address(cloud: Cloud, source: str, auth: str = "NONE") -> str:
    name = make_function(cloud, source)
    made = cloud.client("lambda").create_function_url_config(FunctionName=name, AuthType=auth)
    assert made["FunctionUrl"] == f"{cloud.endpoint}/_url/{name}/"
    return f"/_url/{name}"


def call(
    cloud: Cloud, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_a_request_becomes_an_event_of_payload_format_2(cloud: Cloud) -> None:
    path = with_address(cloud, ECHO)
    headers = {"Content_Type": "application/json", "Cookie": "a=1; b=2", "X_Own": "yes"}
    status, _, content = call(cloud, f"{path}/predict/one?q=1&q=2&r=", "POST", b'{"x": 1}', **headers)
    event = json.loads(content)

    assert status == 200
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/predict/one", "q=1&q=2&r=")
    assert event["queryStringParameters"] == {"q": "1,2", "r": ""}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-own"] == "yes"
    assert event["requestContext"]["http"]["method"] == "POST"
    assert (event["body"], event["isBase64Encoded"]) == ('{"x": 1}', False)


def test_a_binary_body_is_base64(cloud: Cloud) -> None:
    event = json.loads(call(cloud, with_address(cloud, ECHO), "POST", b"\xff\x00", Content_Type="image/png")[2])

    assert (event["body"], event["isBase64Encoded"]) == ("/wA=", True)


def test_an_object_with_a_status_is_the_response_and_any_other_answer_is_its_body(cloud: Cloud) -> None:
    source = """
def handle(event, context):
    if event["rawPath"] == "/plain":
        return {"score": 0.5}
    return {"statusCode": 418, "headers": {"x-own": "yes"}, "cookies": ["a=1"], "body": "aGk=", "isBase64Encoded": True}
"""
    path = with_address(cloud, source)
    status, headers, content = call(cloud, path)

    assert (status, headers["X-Own"], headers["Set-Cookie"], content) == (418, "yes", "a=1", b"hi")
    assert json.loads(call(cloud, f"{path}/plain")[2]) == {"score": 0.5}


def test_with_iam_a_request_without_a_signature_is_forbidden(cloud: Cloud) -> None:
    path = with_address(cloud, ECHO, "AWS_IAM")
    status, _, content = call(cloud, path)

    assert (status, json.loads(content)) == (403, {"Message": "Forbidden"})
    assert (
        call(cloud, path, Authorization="AWS4-HMAC-SHA256 Credential=laptop/20260301/us-east-1/lambda/aws4_request")[0]
        == 200
    )


def test_a_failed_function_is_a_bad_gateway_and_one_without_address_is_not_found(cloud: Cloud) -> None:
    path = with_address(cloud, "def handle(event, context): raise ValueError(1)")
    status, _, content = call(cloud, path)

    assert (status, json.loads(content)) == (502, {"Message": "Internal Server Error"})
    assert call(cloud, f"/_url/{make_function(cloud, ECHO)}/")[0] == 404
