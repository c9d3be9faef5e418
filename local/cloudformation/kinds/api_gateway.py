"""API Gateway's REST APIs, their stages, and the keys and plans of their clients; what cannot be served is refused."""

from __future__ import annotations

import json
from typing import Any

from local.api_gateway.authorizers import SOURCES
from local.api_gateway.refusals import check_parameter
from local.cloudformation.kinds.kind import Kind, Made, Order, Unfit, inert, keep

API = "apigateway"
# Certificates, policies of resources and TLS have no place on the loopback, so these change nothing here.
_API_ASIDE = ("Tags", "SecurityPolicy", "EndpointAccessMode", "EndpointConfiguration")
_API_UNMADE = ("Body", "BodyS3Location", "BinaryMediaTypes", "CloneFrom", "Policy", "MinimumCompressionSize")


def _refuse(order: Order, *names: str) -> None:
    for name in names:
        if order.properties.get(name) not in (None, [], {}, False):
            raise Unfit(f"{order.type}.{name}: the laptop cloud does not do this; leave it out")


def _make_api(order: Order) -> Made:
    _refuse(order, *_API_UNMADE)
    if order.properties.get("ApiKeySourceType", "HEADER") != "HEADER":
        raise Unfit(f"{order.type}.ApiKeySourceType: the laptop cloud reads keys from the header x-api-key only")
    kept = order.without(*_API_ASIDE, *_API_UNMADE, "ApiKeySourceType", "FailOnWarnings")
    made = order.call(API, "create_rest_api", **{**kept, "Name": order.name("Name", 128)}, Tags=order.tags())
    root = made.get("rootResourceId") or order.call(API, "get_resources", RestApiId=made["id"])["items"][0]["id"]
    return Made(made["id"], {"RestApiId": made["id"], "RootResourceId": root})


def _change_api(order: Order) -> Made:
    _refuse(order, *_API_UNMADE)
    patches = [_replace(f"/{name.lower()}", order.properties.get(name, "")) for name in ("Name", "Description")]
    order.call(API, "update_rest_api", RestApiId=order.physical_id, PatchOperations=patches)
    return Made(order.physical_id, order.attributes)


def _replace(path: str, value: Any) -> dict[str, str]:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"op": "replace", "path": path, "value": text}


def _remove_api(order: Order) -> None:
    order.call(API, "delete_rest_api", RestApiId=order.physical_id)


def _make_resource(order: Order) -> Made:
    made = order.call(API, "create_resource", **order.properties)
    return Made(made["id"], {"ResourceId": made["id"]})


def _remove_resource(order: Order) -> None:
    order.call(API, "delete_resource", RestApiId=order.properties["RestApiId"], ResourceId=order.physical_id)


def _of_method(order: Order) -> dict[str, Any]:
    return {name: order.properties[name] for name in ("RestApiId", "ResourceId", "HttpMethod")}


def _put_method(order: Order) -> Made:
    _refuse(order, "MethodResponses", "AuthorizationScopes")
    if order.properties.get("AuthorizationType", "NONE") not in {"NONE", "CUSTOM"}:
        raise Unfit(f"{order.type}.AuthorizationType: the laptop cloud does NONE and CUSTOM")
    integration = dict(order.properties.get("Integration") or {})
    _check_integration(order.type, integration)
    order.call(API, "put_method", **order.without("Integration", "MethodResponses"))
    order.call(API, "put_integration", **_of_method(order), **integration)
    return Made(order.physical_id or order.name("", 60))


def _check_integration(where: str, integration: dict[str, Any]) -> None:
    if integration.get("Type") != "AWS_PROXY" or ":lambda:path/" not in str(integration.get("Uri")):
        raise Unfit(f"{where}.Integration.Type: the laptop cloud does AWS_PROXY to Lambda functions; use that")
    for name in integration:
        if name not in {"Type", "Uri", "IntegrationHttpMethod"}:
            raise Unfit(f"{where}.Integration.{name}: the laptop cloud does not do this; leave it out")


def _remove_method(order: Order) -> None:
    order.call(API, "delete_method", **_of_method(order))


def _make_deployment(order: Order) -> Made:
    _refuse(order, "StageDescription", "DeploymentCanarySettings", "StageName")
    made = order.call(API, "create_deployment", **order.without("StageName"))
    return Made(made["id"], {"DeploymentId": made["id"]})


def _remove_deployment(order: Order) -> None:
    order.call(API, "delete_deployment", RestApiId=order.properties["RestApiId"], DeploymentId=order.physical_id)


_STAGE_PATCHED = ("MethodSettings", "AccessLogSetting", "TracingEnabled", "Tags")
_STAGE_UNMADE = ("CanarySetting", "CacheClusterEnabled", "CacheClusterSize", "ClientCertificateId", "Variables")
_SETTINGS = {
    "ThrottlingRateLimit": "throttling/rateLimit",
    "ThrottlingBurstLimit": "throttling/burstLimit",
    "MetricsEnabled": "metrics/enabled",
    "LoggingLevel": "logging/loglevel",
    "DataTraceEnabled": "logging/dataTrace",
}


def _make_stage(order: Order) -> Made:
    _refuse(order, *_STAGE_UNMADE)
    patches = _stage_patches(order)
    kept = order.without(*_STAGE_PATCHED, *_STAGE_UNMADE)
    order.call(API, "create_stage", **kept, Tags=order.tags())
    _patch_stage(order, patches)
    return Made(order.properties["StageName"])


def _change_stage(order: Order) -> Made:
    _refuse(order, *_STAGE_UNMADE)
    deployed = _replace("/deploymentId", order.properties["DeploymentId"])
    _patch_stage(order, [deployed, *_stage_patches(order)])
    return Made(order.physical_id, order.attributes)


def _stage_patches(order: Order) -> list[dict[str, str]]:
    log = order.properties.get("AccessLogSetting") or {}
    patches = [
        _replace(f"/accessLogSettings/{name}", log[given])
        for name, given in (("destinationArn", "DestinationArn"), ("format", "Format"))
        if given in log
    ]
    for setting in order.properties.get("MethodSettings") or []:
        patches += _method_patches(order.type, setting)
    return patches


def _method_patches(where: str, setting: dict[str, Any]) -> list[dict[str, str]]:
    # "/*" with "*" is every method; another path is written with ~1 for each slash.
    path = setting.get("ResourcePath", "/*")
    resource = "*" if path == "/*" else path.replace("/", "~1")
    values = {name: value for name, value in setting.items() if name not in {"ResourcePath", "HttpMethod"}}
    unknown = [name for name, value in values.items() if name not in _SETTINGS and value not in (None, False)]
    if unknown:
        raise Unfit(f"{where}.MethodSettings.{unknown[0]}: the laptop cloud does not do this; leave it out")
    start = f"/{resource}/{setting.get('HttpMethod', '*')}"
    return [_replace(f"{start}/{_SETTINGS[name]}", value) for name, value in values.items() if name in _SETTINGS]


def _patch_stage(order: Order, patches: list[dict[str, str]]) -> None:
    whose = {"RestApiId": order.properties["RestApiId"], "StageName": order.properties["StageName"]}
    order.call(API, "update_stage", **whose, PatchOperations=patches)


def _remove_stage(order: Order) -> None:
    order.call(API, "delete_stage", RestApiId=order.properties["RestApiId"], StageName=order.physical_id)


def _make_authorizer(order: Order) -> Made:
    if order.properties["Type"] != "REQUEST":
        raise Unfit(f"{order.type}.Type: the laptop cloud does REQUEST authorizers; use one")
    sources = [source.strip() for source in order.properties.get("IdentitySource", "").split(",")]
    if not all(source.startswith(SOURCES) for source in sources):
        raise Unfit(f"{order.type}.IdentitySource: the laptop cloud reads headers and query strings; name some")
    _refuse(order, "AuthorizerCredentials", "ProviderARNs", "IdentityValidationExpression")
    made = order.call(API, "create_authorizer", **order.properties)
    return Made(made["id"], {"AuthorizerId": made["id"]})


def _remove_authorizer(order: Order) -> None:
    order.call(API, "delete_authorizer", RestApiId=order.properties["RestApiId"], AuthorizerId=order.physical_id)


def _make_model(order: Order) -> Made:
    name = order.name("Name", 60).replace("-", "")
    schema = order.properties["Schema"]
    text = schema if isinstance(schema, str) else json.dumps(schema)
    order.call(API, "create_model", **{**order.properties, "Name": name, "Schema": text})
    return Made(name)


def _remove_model(order: Order) -> None:
    order.call(API, "delete_model", RestApiId=order.properties["RestApiId"], ModelName=order.physical_id)


def _make_validator(order: Order) -> Made:
    given = {**order.properties, "Name": order.name("Name", 60)}
    made = order.call(API, "create_request_validator", **given)
    return Made(made["id"], {"RequestValidatorId": made["id"]})


def _remove_validator(order: Order) -> None:
    whose = order.properties["RestApiId"]
    order.call(API, "delete_request_validator", RestApiId=whose, RequestValidatorId=order.physical_id)


def _put_response(order: Order) -> Made:
    for name, value in (order.properties.get("ResponseParameters") or {}).items():
        check_parameter(name, value)
    order.call(API, "put_gateway_response", **order.properties)
    return Made(order.physical_id or order.name("", 60))


def _remove_response(order: Order) -> None:
    whose = {name: order.properties[name] for name in ("RestApiId", "ResponseType")}
    order.call(API, "delete_gateway_response", **whose)


def _make_key(order: Order) -> Made:
    _refuse(order, "GenerateDistinctId")
    given = {**order.without("StageKeys", "Tags", "GenerateDistinctId"), "Name": order.name("Name", 128)}
    made = order.call(API, "create_api_key", **given, Tags=order.tags())
    return Made(made["id"], {"APIKeyId": made["id"]})


def _remove_key(order: Order) -> None:
    order.call(API, "delete_api_key", ApiKey=order.physical_id)


def _make_plan(order: Order) -> Made:
    _check_plan(order)
    given = {**order.without("UsagePlanName", "Tags"), "Name": order.name("UsagePlanName", 128)}
    made = order.call(API, "create_usage_plan", **given, Tags=order.tags())
    return Made(made["id"], {"Id": made["id"]})


def _check_plan(order: Order) -> None:
    if any(each.get("Throttle") for each in order.properties.get("ApiStages") or []):
        raise Unfit(f"{order.type}.ApiStages.Throttle: the laptop cloud holds keys to their plan, not to methods")
    if int((order.properties.get("Quota") or {}).get("Offset", 0)):
        raise Unfit(f"{order.type}.Quota.Offset: the laptop cloud starts every period in full; leave it out")


def _remove_plan(order: Order) -> None:
    order.call(API, "delete_usage_plan", UsagePlanId=order.physical_id)


def _make_plan_key(order: Order) -> Made:
    order.call(API, "create_usage_plan_key", **order.properties)
    return Made(f"{order.properties['KeyId']}:{order.properties['UsagePlanId']}")


def _remove_plan_key(order: Order) -> None:
    plan, key = order.properties["UsagePlanId"], order.properties["KeyId"]
    order.call(API, "delete_usage_plan_key", UsagePlanId=plan, KeyId=key)


def _put_account(order: Order) -> Made:
    patches = [_replace("/cloudwatchRoleArn", order.properties.get("CloudWatchRoleArn", ""))]
    order.call(API, "update_account", PatchOperations=patches)
    return Made(order.physical_id or order.name("", 60))


def _make_firewall(order: Order) -> Made:
    # Nothing but this machine reaches the loopback, so it has nobody to refuse.
    name = order.name("Name", 128)
    return Made(name, {"Arn": order.arn("wafv2", f"regional/webacl/{name}/0"), "Id": "0"})


KINDS = {
    "AWS::ApiGateway::RestApi": Kind(_make_api, _remove_api, _change_api, frozenset({"ApiKeySourceType"})),
    "AWS::ApiGateway::Resource": Kind(_make_resource, _remove_resource),
    "AWS::ApiGateway::Method": Kind(
        _put_method, _remove_method, _put_method, frozenset({"RestApiId", "ResourceId", "HttpMethod"})
    ),
    "AWS::ApiGateway::Deployment": Kind(_make_deployment, _remove_deployment),
    "AWS::ApiGateway::Stage": Kind(_make_stage, _remove_stage, _change_stage, frozenset({"RestApiId", "StageName"})),
    "AWS::ApiGateway::Authorizer": Kind(_make_authorizer, _remove_authorizer),
    "AWS::ApiGateway::Model": Kind(_make_model, _remove_model),
    "AWS::ApiGateway::RequestValidator": Kind(_make_validator, _remove_validator),
    "AWS::ApiGateway::GatewayResponse": Kind(
        _put_response, _remove_response, _put_response, frozenset({"RestApiId", "ResponseType"})
    ),
    "AWS::ApiGateway::ApiKey": Kind(_make_key, _remove_key),
    "AWS::ApiGateway::UsagePlan": Kind(_make_plan, _remove_plan),
    "AWS::ApiGateway::UsagePlanKey": Kind(_make_plan_key, _remove_plan_key),
    "AWS::ApiGateway::Account": Kind(_put_account, keep, _put_account),
    "AWS::WAFv2::WebACL": Kind(_make_firewall, keep),
    "AWS::WAFv2::WebACLAssociation": inert,
}
