"""Take events over HTTPS from browsers and devices: a REST API before a function that puts them on the stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as gateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from domain.contract.json_schema import envelope
from domain.ingest.posts import LARGEST_POST, MOST_EVENTS
from domain.settings import Settings
from lambdas.ingest.settings import CollectSettings
from stacks import names
from stacks.config import Config
from stacks.constructs.firewall import Firewall
from stacks.constructs.function import RETENTIONS, Function
from stacks.constructs.nag import accept
from stacks.constructs.way_in import WayIn

BURST_SECONDS = 2
"""A client may save up requests for this long, as a page does that sends what it kept while offline."""

MOST_BURST = 5_000  # an account's, in a region (API Gateway quotas)
TLS = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"  # 1.2 with forward secrecy, or newer
PUSH = "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
KEY_REMEMBERED = Duration.hours(1)
BATCH: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": MOST_EVENTS}
SHAPE = f"send one object with event, event_id, event_time and user_id, or a list of 1 to {MOST_EVENTS} objects"
REASON = "$context.error.messageString"  # comes with its quotes
TYPES = {
    "array": gateway.JsonSchemaType.ARRAY,
    "object": gateway.JsonSchemaType.OBJECT,
    "string": gateway.JsonSchemaType.STRING,
}

# What the gateway itself refuses, in the words of the function's own refusals: status, field, error, fix.
REFUSALS: dict[str, tuple[int | None, str, str, str]] = {
    "BAD_REQUEST_BODY": (400, "body", "is not of the shape asked for", SHAPE),
    "BAD_REQUEST_PARAMETERS": (400, "request", "lacks a parameter", "send what the API's documentation shows"),
    "UNAUTHORIZED": (401, "x-api-key", "is missing", "send your key in the header x-api-key"),
    "INVALID_API_KEY": (403, "x-api-key", "is unknown or disabled", "ask for a key"),
    "ACCESS_DENIED": (403, "x-api-key", "is not allowed here", "ask for a key"),
    "WAF_FILTERED": (403, "request", "is refused by the firewall", "send fewer, from an address of good repute"),
    "MISSING_AUTHENTICATION_TOKEN": (404, "path", "is unknown", "POST to /events or /batch"),
    "RESOURCE_NOT_FOUND": (404, "path", "is unknown", "POST to /events or /batch"),
    "REQUEST_TOO_LARGE": (413, "body", "is too large", f"send at most {LARGEST_POST} bytes"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "content-type", "is unknown", "send application/json"),
    "THROTTLED": (429, "request", "is over the rate of this key", "wait, then send it again"),
    "QUOTA_EXCEEDED": (429, "request", "is over the day's quota of this key", "send it again tomorrow"),
    "DEFAULT_4XX": (None, "request", REASON, "send what the API's documentation shows"),
    "DEFAULT_5XX": (None, "front", "is unavailable", "send it again soon"),
}

# No address, no user agent, no path below the resource: nothing that says who somebody is.
ACCESS_LOG = {
    "requestId": "$context.requestId",
    "time": "$context.requestTimeEpoch",
    "method": "$context.httpMethod",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "client": "$context.identity.apiKeyId",
    "milliseconds": "$context.responseLatency",
    "bytes": "$context.responseLength",
    "refused": "$context.error.responseType",
}


class RestFront(Construct):
    """Answer `POST /events` and `POST /batch`, with a key, a rate and a quota for each client."""

    def __init__(self, scope: Construct, id: str, *, way_in: WayIn, config: Config) -> None:
        super().__init__(scope, id)
        self.config = config
        self._collect(way_in)
        self.api = self._api()
        self._methods()
        self._refusals()
        self._clients()
        if config.front_firewall:
            Firewall(self, "Firewall", protects=self.api.deployment_stage)
        CfnOutput(
            Stack.of(self), "FrontUrl", value=self.api.url, description="Where events are posted, with a client's key"
        )

    def _collect(self, way_in: WayIn) -> None:
        self.collect = Function(
            self,
            "Collect",
            name=names.COLLECT,
            module="ingest.collect",
            settings=CollectSettings(
                stream=names.STREAM,
                origins=",".join(self.config.front_origins),
                cluster=way_in.cluster,
                bridge=way_in.bridge,
            ),
            config=self.config,
            timeout=Duration.seconds(20),  # the gateway waits 29
            memory_mb=512,
        )
        way_in.grant(self.collect.role, "PutRecords")
        if way_in.stream and way_in.stream.encryption_key:
            key = way_in.stream.encryption_key.key_arn
            self.collect.role.add_to_policy(iam.PolicyStatement(actions=["kms:GenerateDataKey"], resources=[key]))
        self.admit = Function(
            self,
            "Admit",
            name=names.ADMIT,
            module="ingest.admit",
            settings=Settings(),
            config=self.config,
            timeout=Duration.seconds(3),
            memory_mb=128,
        )

    def _api(self) -> gateway.RestApi:
        group = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/aws/apigateway/{names.FRONT}",
            retention=RETENTIONS[self.config.log_days],
            removal_policy=RemovalPolicy.DESTROY,
        )
        rate = self.config.front_rate * len(self.config.front_clients)
        api = gateway.RestApi(
            self,
            "Api",
            rest_api_name=names.FRONT,
            description="Rivermill: where browsers and devices post events",
            endpoint_types=[gateway.EndpointType.REGIONAL],
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.DESTROY,
            deploy_options=gateway.StageOptions(
                stage_name="v1",
                throttling_rate_limit=rate,
                throttling_burst_limit=burst(rate),
                metrics_enabled=True,
                tracing_enabled=True,
                logging_level=gateway.MethodLoggingLevel.OFF,
                data_trace_enabled=False,
                access_log_destination=gateway.LogGroupLogDestination(group),
                access_log_format=gateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG)),
            ),
        )
        api.node.try_remove_child("Endpoint")  # an output of its own, named by a hash
        # The L2 has no word for them yet.
        raw = api.node.default_child
        raw.security_policy, raw.endpoint_access_mode = TLS, "STRICT"
        accept(api, "The access log tells each refusal; an execution log would hold people's events.", "APIG6")
        accept(api, "It is the policy that API Gateway asks for.", f"IAM4[{PUSH}]")
        accept(api, "A key names a client; who its user is, is not the front's to ask.", "COG4")
        if not self.config.front_firewall:
            accept(api, "Config.front_firewall puts one before it; keys, rates and quotas hold without.", "APIG3")
        return api

    def _methods(self) -> None:
        validator = self.api.add_request_validator(
            "Shape", validate_request_body=True, validate_request_parameters=True
        )
        authorizer = gateway.RequestAuthorizer(
            self,
            "Key",
            handler=self.admit.function,
            identity_sources=[gateway.IdentitySource.header("x-api-key")],
            results_cache_ttl=KEY_REMEMBERED,
        )
        function = gateway.LambdaIntegration(self.collect.function, allow_test_invoke=False)
        for path, schema in (("events", envelope()), ("batch", BATCH)):
            shape = self.api.add_model(path.title(), content_type="application/json", schema=model(schema))
            resource = self.api.root.add_resource(path)
            resource.add_method(
                "POST",
                function,
                api_key_required=True,
                authorizer=authorizer,
                authorization_type=gateway.AuthorizationType.CUSTOM,
                request_validator=validator,
                request_models={"application/json": shape},
            )
            asked = resource.add_method("OPTIONS", function)
            accept(asked, "A browser asks before it sends, without a key (Fetch standard).", "APIG4", "APIG2")

    def _refusals(self) -> None:
        for kind, (status, field, error, fix) in REFUSALS.items():
            said = json.dumps({"error": error, "field": field, "fix": fix}).replace(f'"{REASON}"', REASON)
            self.api.add_gateway_response(
                kind.title().replace("_", ""),
                type=gateway.ResponseType.of(kind),
                status_code=str(status) if status else None,
                response_headers={"Access-Control-Allow-Origin": "'*'"},  # a page may read why it is refused
                templates={"application/json": said},
            )

    def _clients(self) -> None:
        rate = self.config.front_rate
        for client in self.config.front_clients:
            key = self.api.add_api_key(f"Key{client.title()}", description=f"Names the client {client}; no secret")
            plan = self.api.add_usage_plan(
                f"Plan{client.title()}",
                name=f"{names.FRONT}-{client}",
                throttle=gateway.ThrottleSettings(rate_limit=rate, burst_limit=burst(rate)),
                quota=gateway.QuotaSettings(limit=self.config.front_quota, period=gateway.Period.DAY),
                api_stages=[gateway.UsagePlanPerApiStage(api=self.api, stage=self.api.deployment_stage)],
            )
            plan.add_api_key(key)
            CfnOutput(
                Stack.of(self),
                f"FrontKey{client.title()}",
                value=key.key_id,
                description=f"Id of the key of the client {client}; get-api-key --include-value tells its value",
            )


def burst(rate: int) -> int:
    """Say how many requests may come at once, for a rate a second."""
    return min(rate * BURST_SECONDS, MOST_BURST)


def model(schema: Mapping[str, Any], *, whole: bool = True) -> gateway.JsonSchema:
    """Write a schema as a gateway's model, whose dialect is draft 4."""
    return gateway.JsonSchema(
        schema=gateway.JsonSchemaVersion.DRAFT4 if whole else None,
        type=TYPES[schema["type"]],
        required=schema.get("required"),
        properties={name: model(each, whole=False) for name, each in schema.get("properties", {}).items()} or None,
        min_length=schema.get("minLength"),
        max_length=schema.get("maxLength"),
        min_items=schema.get("minItems"),
        max_items=schema.get("maxItems"),
    )
