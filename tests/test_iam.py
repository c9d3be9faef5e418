"""Who may do what: every wildcard is listed here with its reason, and jobs reach only what they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from domain.tables import TABLES
from stacks import names
from stacks.config import CONFIGS
from tests.stacks.synthesized import Template, resources, stage

OBJECTS = "objects are named as they come; the prefix is the role's own work"
WILDCARDS = {
    "<lake>/<table>/*": OBJECTS,
    "<lake>/landing/<table>/*": OBJECTS,
    "<lake>/raw/*": "the optimizer keeps every raw table in shape",
    "<lake>/curated/*": "the optimizer keeps every curated table in shape",
    "<lake>/features/*": "the optimizer keeps every feature table in shape",
    "<lake>/landing/*": "data files of all events; the consumer writes them, the sweeper removes the orphans",
    "<lake>/receipts/*": OBJECTS,
    "<lake>/scaling/*": OBJECTS,
    "<lake>/runs/*": OBJECTS,
    "<lake>/conservation/*": OBJECTS,
    "<lake>/athena/*": "Athena names the results of a query after it",
    "<lake>/training/*": OBJECTS,
    "<lake>/models/*": OBJECTS,
    "<lake>/*": "what proves that somebody is gone is that every byte was read, wherever it lay",
    "glue:table/raw/*": "an erasure goes through every table, also those that a replay made",
    "glue:table/curated/*": "the same",
    "glue:table/features/*": "the same",
    "<lake>/published/*": "what was anonymized or released, for the analyst",
    "<lake>/certificates/*": OBJECTS,
    "<lake>/readouts/*": OBJECTS,
    "states:execution:rivermill-erase:*": "executions are named as they are started",
    "logs:log-group:/aws-glue/*": "Glue names the log groups of its jobs",
    "logs:log-group:/aws/sagemaker/*": "SageMaker names the log groups of its jobs and endpoints",
    "<log group>": "Lambda names the log streams of a function's own group",
    "sagemaker:model-package/rivermill-propensity/*": "the registry numbers its packages",
    "sagemaker:model/rivermill-propensity-*": "models are named after their packages",
    "sagemaker:endpoint-config/rivermill-propensity-*": "so are configurations",
    "sagemaker:training-job/rivermill-*": "jobs are named after their run",
    "sagemaker:processing-job/rivermill-*": "jobs are named after their run",
}
PROVISIONED_ONLY = {"<lake>/scaling/*"}
"""What only the scaler of a provisioned stream needs."""

TAKE_NO_RESOURCE = {
    "kafka:GetBootstrapBrokers",
    "kinesis:DescribeLimits",
    "cloudwatch:GetMetricData",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "ecr:GetAuthorizationToken",
    "cloudwatch:PutMetricData",  # held to a namespace by a condition
    # Step Functions' log delivery (guide, "Logging using CloudWatch Logs")
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}


@pytest.fixture(scope="module", params=CONFIGS)
def templates(request: pytest.FixtureRequest) -> dict[str, Template]:
    return stage(request.param).templates


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(templates: dict[str, Template]) -> Iterator[tuple[str, Template]]:
    """Walk the allowing statements of roles, each with the policy that it stands in."""
    for stack, template in templates.items():
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for name, policy in resources(template, kind).items():
                for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                    if statement["Effect"] == "Allow":
                        yield f"{stack}/{name}", statement


def spelled(resource: Any) -> str:
    """Spell a resource so that a person can read it, tables and places of the lake by their kind."""
    if isinstance(resource, dict) and "Fn::GetAtt" in resource and "Logs" in resource["Fn::GetAtt"][0]:
        return "<log group>*"
    text = flat(resource)
    text = re.sub(r"^arn:aws:(\w+):us-east-1:<AWS::AccountId>:", r"\1:", text)
    text = re.sub(r"^(<Lake\w*\.Arn>|Rivermill-Lake:ExportsOutputFnGetAttLake\w*Arn\w*)/", "<lake>/", text)
    for table in TABLES:
        text = text.replace(f"<lake>/{table.prefix}", "<lake>/<table>/")
        text = re.sub(rf"^<lake>/landing/{table.name}/", "<lake>/landing/<table>/", text)
    return text


def flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    [(function, arguments)] = value.items()
    if function == "Fn::Join":
        return "".join(flat(item) for item in arguments[1])
    if function == "Fn::GetAtt":
        return f"<{'.'.join(arguments)}>"
    return f"<{arguments}>" if function == "Ref" else str(arguments)


def test_no_role_is_allowed_a_pattern_of_actions(templates: dict[str, Template]) -> None:
    patterns = {(who, action) for who, s in allowed(templates) for action in listed(s["Action"]) if "*" in action}

    assert not patterns


def test_every_wildcard_is_listed_with_its_reason(templates: dict[str, Template]) -> None:
    found = {
        (who, spelled(resource).removesuffix("*") if "<log group>" in spelled(resource) else spelled(resource))
        for who, statement in allowed(templates)
        for resource in listed(statement["Resource"])
        if "*" in spelled(resource) and spelled(resource) != "*"
    }

    provisioned = "rivermill-scale" in json.dumps(templates["Rivermill-Ingest"])
    assert {where for _, where in found} == set(WILDCARDS) - (set() if provisioned else PROVISIONED_ONLY)


def test_all_resources_are_named_only_where_an_action_takes_none(templates: dict[str, Template]) -> None:
    found = {a for _, s in allowed(templates) if "*" in listed(s["Resource"]) for a in listed(s["Action"])}

    assert found <= TAKE_NO_RESOURCE


def test_nobody_else_may_use_a_resource_of_ours(templates: dict[str, Template]) -> None:
    """A resource's own policy allows AWS's services on behalf of this account, and the account itself, nobody else."""
    for template in templates.values():
        for found in template["Resources"].values():
            document = found.get("Properties", {}).get("PolicyDocument") or found.get("Properties", {}).get("KeyPolicy")
            if found["Type"].startswith("AWS::IAM::") or not document:
                continue
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow":
                    principal = json.dumps(statement["Principal"])
                    mine = "AWS::AccountId" in principal
                    assert mine or "aws:SourceAccount" in json.dumps(statement.get("Condition", {})), found["Type"]


@pytest.mark.parametrize("stack", ["Serve", "Experiment"])
def test_the_front_asks_for_signed_requests(templates: dict[str, Template], stack: str) -> None:
    [url] = resources(templates[f"Rivermill-{stack}"], "AWS::Lambda::Url").values()

    assert url["Properties"]["AuthType"] == "AWS_IAM"


@pytest.mark.parametrize(
    ("job", "reads", "writes"),
    [
        ("Curate", {"<lake>/<table>/*", "<lake>/landing/<table>/*"}, {"curated", "runs"}),
        ("Sessions", {"<lake>/<table>/*"}, {"curated/sessions", "runs"}),
        ("Replay", {"<lake>/<table>/*", "<lake>/landing/<table>/*"}, {"curated", "runs"}),
        ("Features", {"<lake>/<table>/*"}, {"features/users", "features/sessions", "runs"}),
        ("Dataset", {"<lake>/<table>/*"}, {"features/propensity", "training", "runs"}),
    ],
)
def test_a_job_reads_and_writes_just_what_it_names(job: str, reads: set[str], writes: set[str]) -> None:
    process = {"Rivermill-Process": stage("dev").templates["Rivermill-Process"]}
    mine = [s for who, s in allowed(process) if who.split("/")[1].startswith(f"{job}Role")]
    read = {spelled(r) for s in mine if "s3:GetObject" in listed(s["Action"]) for r in listed(s["Resource"])}
    written = {
        flat(r).partition("/")[2].removesuffix("/*")
        for s in mine
        if "s3:PutObject" in listed(s["Action"])
        for r in listed(s["Resource"])
    }

    assert {place for place in read if place.startswith("<lake>")} >= reads
    assert {place if place in writes else place.partition("/")[0] for place in written} == writes
    assert "raw" not in {place.partition("/")[0] for place in written}


def test_models_are_started_only_with_their_own_roles(templates: dict[str, Template]) -> None:
    passing = [s for _, s in allowed(templates) if "iam:PassRole" in listed(s["Action"])]

    assert len(passing) == 2
    for statement in passing:
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert "*" not in json.dumps(statement["Resource"])


DUTIES = {
    "analyse": {"athena:StartQueryExecution workgroup/rivermill", "s3:GetObject <lake>/published/*"},
    "undo a token": {"lambda:InvokeFunction function:rivermill-detokenize"},
    "erase": {"lambda:InvokeFunction function:rivermill-erasure-request", "states:StartExecution rivermill-erase"},
}
"""What a duty comes to, as an action and where its resource ends."""


def duties(statements: list[Template]) -> set[str]:
    """Name the duties that somebody with these permissions can do."""
    held = [
        (action, spelled(resource))
        for each in statements
        for action in listed(each["Action"])
        for resource in listed(each["Resource"])
    ]
    return {
        duty
        for duty, signs in DUTIES.items()
        for action, place in (sign.split(" ") for sign in signs)
        if any(action == may and where.endswith(place) for may, where in held)
    }


def by_role(templates: dict[str, Template]) -> dict[str, list[Template]]:
    """Gather what each role is allowed, over all policies of a stack that are attached to it."""
    found: dict[str, list[Template]] = {}
    for stack, template in templates.items():
        for policy in resources(template, "AWS::IAM::Policy").values():
            for role in policy["Properties"].get("Roles", ()):
                statements = found.setdefault(f"{stack}/{flat(role)}", [])
                statements += policy["Properties"]["PolicyDocument"]["Statement"]
    return found


def test_each_of_the_three_duties_has_a_role(templates: dict[str, Template]) -> None:
    privacy = templates["Rivermill-Privacy"]
    named = {
        role["Properties"]["RoleName"]: duties(by_role({"": privacy})[f"/<{id}>"])
        for id, role in resources(privacy, "AWS::IAM::Role").items()
        if role["Properties"].get("RoleName") in names.DUTIES
    }

    assert named == {
        "rivermill-analyst": {"analyse"},
        "rivermill-steward": {"undo a token"},
        "rivermill-eraser": {"erase"},
    }


def test_no_role_can_do_two_of_the_duties(templates: dict[str, Template]) -> None:
    found = {role: duties(statements) for role, statements in by_role(templates).items()}

    assert {role for role, able in found.items() if able}
    assert not {role: able for role, able in found.items() if len(able) > 1}


def test_a_role_that_could_do_two_duties_is_seen() -> None:
    grown = {"Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": []}
    grown["Resource"] = [
        f"arn:aws:lambda:us-east-1:1:function:{name}" for name in (names.DETOKENIZE, names.ERASURE_REQUEST)
    ]

    assert duties([grown]) == {"undo a token", "erase"}


def test_no_duty_reads_a_table_or_what_landed(templates: dict[str, Template]) -> None:
    """A grant of objects goes round every mask of a view."""
    privacy = templates["Rivermill-Privacy"]
    for id, role in resources(privacy, "AWS::IAM::Role").items():
        if role["Properties"].get("RoleName") in names.DUTIES:
            read = {
                spelled(resource)
                for each in by_role({"": privacy})[f"/<{id}>"]
                if "s3:GetObject" in listed(each["Action"])
                for resource in listed(each["Resource"])
            }

            assert read <= {"<lake>/published/*", "<lake>/athena/*", "<lake>/certificates/*"}
