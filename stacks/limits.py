"""Hold every template against the services' limits at synth, where a limit is a line and not a failed deployment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import (
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
)

Resource = Mapping[str, Any]
RENDERED = 64  # characters that a reference becomes when deployed: an ARN with a generated name


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that a resource, or a template as a whole, does not keep."""

    where: str
    limit: str
    found: object

    def __str__(self) -> str:
        """Say it on one line."""
        return f"{self.where}: {self.limit}; found {self.found!r}"


@dataclass(frozen=True, slots=True)
class Range:
    """A property that must be written down and lie between two numbers."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        """Say whether a value is a number in the range."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        """Say the range."""
        return f"must be written down, from {self.low:,} to {self.high:,}"


# Lambda guide, "Event source mappings"; -1 (for ever) is allowed by AWS and refused here.
MAPPING = {
    "BatchSize": Range(1, 10_000),
    "MaximumBatchingWindowInSeconds": Range(0, 300),
    "ParallelizationFactor": Range(1, 10),
    "MaximumRetryAttempts": Range(0, 10_000),
    "MaximumRecordAgeInSeconds": Range(60, 604_800),
}
FROM_KAFKA = {name: span for name, span in MAPPING.items() if name != "ParallelizationFactor"}  # partitions are enough
FUNCTION = {"Timeout": Range(1, 900), "MemorySize": Range(128, 10_240)}
STREAM = {"RetentionPeriodHours": Range(24, 8_760)}

TEMPLATE_BYTES = 1_000_000
SECTIONS = {"Resources": 500, "Parameters": 200, "Outputs": 200}
ENVIRONMENT_BYTES = 4_096
LAYERS = 5
DEFINITION_BYTES = 1_048_576
VARIANTS = 10
INLINE_POLICIES = 10_240
MANAGED_POLICY = 6_144


def breaches(template: Mapping[str, Any]) -> list[Breach]:
    """List the limits that a template does not keep."""
    found = list(of_template(template)) + list(of_roles(template))
    for name, resource in template["Resources"].items():
        check = CHECKS.get(resource["Type"])
        if check:
            found += [Breach(name, limit, value) for limit, value in check(resource.get("Properties", {}))]
    return found


def of_template(template: Mapping[str, Any]) -> Iterator[Breach]:
    """Count what CloudFormation counts."""
    for section, most in SECTIONS.items():
        if len(template.get(section, {})) > most:
            yield Breach("template", f"at most {most} {section}", len(template[section]))
    size = len(json.dumps(template, indent=1))
    if size > TEMPLATE_BYTES:
        yield Breach("template", f"at most {TEMPLATE_BYTES:,} bytes", size)


def of_roles(template: Mapping[str, Any]) -> Iterator[Breach]:
    """Add up the policies written into each role (IAM quotas count characters without white space)."""
    role_to_size: dict[str, int] = {}
    for name, resource in template["Resources"].items():
        size = rendered(resource.get("Properties", {}).get("PolicyDocument", ""))
        if resource["Type"] == "AWS::IAM::ManagedPolicy" and size > MANAGED_POLICY:
            yield Breach(name, f"a managed policy has at most {MANAGED_POLICY:,} characters", size)
        if resource["Type"] == "AWS::IAM::Policy":
            for role in resource["Properties"].get("Roles", ()):
                role_to_size[json.dumps(role)] = role_to_size.get(json.dumps(role), 0) + size
    for role, size in role_to_size.items():
        if size > INLINE_POLICIES:
            yield Breach(role, f"a role's inline policies have at most {INLINE_POLICIES:,} characters", size)


def rendered(value: Any) -> int:
    """Estimate the length of a value once its references are filled in."""
    if isinstance(value, Mapping):
        if len(value) == 1 and (function := next(iter(value))).startswith(("Fn::", "Ref")):
            return sum(map(rendered, value[function][1])) if function == "Fn::Join" else RENDERED
        return 1 + sum(len(json.dumps(key)) + 2 + rendered(item) for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(rendered(item) + 3 for item in value)
    return len(str(value))


Finding = tuple[str, object]


def ranges(properties: Resource, allowed: Mapping[str, Range]) -> Iterator[Finding]:
    """Check numbers."""
    for name, span in allowed.items():
        if properties.get(name) not in span:
            yield f"{name} {span}", properties.get(name)


def of_function(properties: Resource) -> Iterator[Finding]:
    """Check a Lambda function."""
    yield from ranges(properties, FUNCTION)
    variables = properties.get("Environment", {}).get("Variables", {})
    size = sum(len(name) + rendered(value) for name, value in variables.items())
    if size > ENVIRONMENT_BYTES:
        yield f"its environment has at most {ENVIRONMENT_BYTES:,} bytes", size
    if len(properties.get("Layers", ())) > LAYERS:
        yield f"at most {LAYERS} layers", len(properties["Layers"])


def of_mapping(properties: Resource) -> Iterator[Finding]:
    """Check an event source mapping: with AWS's defaults one bad batch blocks a shard until its data expires."""
    yield from ranges(properties, FROM_KAFKA if "Topics" in properties else MAPPING)
    if "Topics" in properties and not properties.get("ProvisionedPollerConfig"):
        yield "ProvisionedPollerConfig must be written down: without it Kafka's retries have no end", None
    if properties.get("BisectBatchOnFunctionError") is not True:
        yield "BisectBatchOnFunctionError must be true", properties.get("BisectBatchOnFunctionError")
    if not properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
        yield "DestinationConfig.OnFailure must name a destination", properties.get("DestinationConfig")
    if properties.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield "FunctionResponseTypes must be ReportBatchItemFailures", properties.get("FunctionResponseTypes")


def of_state_machine(properties: Resource) -> Iterator[Finding]:
    """Check a state machine."""
    size = rendered(properties.get("DefinitionString", ""))
    if size > DEFINITION_BYTES:
        yield f"its definition has at most {DEFINITION_BYTES:,} bytes", size


def of_endpoint_config(properties: Resource) -> Iterator[Finding]:
    """Check an endpoint's configuration."""
    if len(properties.get("ProductionVariants", ())) > VARIANTS:
        yield f"at most {VARIANTS} variants", len(properties["ProductionVariants"])


CHECKS: dict[str, Callable[[Resource], Iterator[Finding]]] = {
    "AWS::Lambda::Function": of_function,
    "AWS::Lambda::EventSourceMapping": of_mapping,
    "AWS::Kinesis::Stream": lambda properties: ranges(properties, STREAM),
    "AWS::StepFunctions::StateMachine": of_state_machine,
    "AWS::SageMaker::EndpointConfig": of_endpoint_config,
}


@jsii.implements(IPolicyValidationPlugin)
class Limits:
    """Refuse, at synth, templates that break a limit."""

    @property
    def name(self) -> str:
        """Name the plugin in the report."""
        return "Limits"

    @property
    def version(self) -> str | None:
        """Version of the plugin; it goes with the app."""
        return None

    @property
    def rule_ids(self) -> list[str] | None:
        """List the rules; they are not numbered."""
        return None

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        """Check every template of the app."""
        violations = [
            PolicyViolation(
                rule_name=f"Limits-{breach.where}",
                description=str(breach),
                severity="error",
                violating_resources=[
                    PolicyViolatingResource(resource_logical_id=breach.where, template_path=path, locations=[])
                ],
            )
            for path in context.template_paths
            for breach in breaches(json.loads(Path(path).read_text(encoding="utf-8")))
        ]
        return PolicyValidationPluginReport(success=not violations, violations=violations)
