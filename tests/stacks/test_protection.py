"""Privacy at synth: an event that says nothing of a field is refused, and the switch gives the consumer keys."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import pytest
from aws_cdk import App, Environment

import app
from domain.events import EVENTS, Event
from domain.privacy.keyring import TOKENS, UNITS
from domain.privacy.policy import RefusedTreatment
from domain.schema import Field
from stacks import names
from stacks.config import CONFIGS
from tests.stacks.synthesized import Template, all_resources, resources, stage, synthesize


class SignUp(Event):
    """Somebody signed up; the privacy of one field was forgotten."""

    name: ClassVar[str] = "sign_up"
    email: Annotated[str, Field("Where we write to.")]


def test_an_event_with_a_field_of_unknown_privacy_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENTS, SignUp.name, SignUp)

    with pytest.raises(RefusedTreatment, match=r"SignUp\.email: its privacy is not declared"):
        app.build(App(), CONFIGS["dev"], Environment(region="us-east-1"))


def function(templates: dict[str, Template], name: str) -> Template:
    """Find a function of any stack."""
    functions = all_resources(templates, "AWS::Lambda::Function").values()
    return next(each["Properties"] for each in functions if each["Properties"].get("FunctionName") == name)


def listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said]


def purposes(templates: dict[str, Template], stack: str, role: str) -> dict[str, set[str]]:
    """Say of each action on keys that a role may do for which purposes alone it may."""
    found: dict[str, set[str]] = {}
    for id, policy in resources(templates[stack], "AWS::IAM::Policy").items():
        for each in policy["Properties"]["PolicyDocument"]["Statement"] if id.startswith(role) else ():
            condition = json.dumps(each.get("Condition", {}))
            if "kms:EncryptionContext:purpose" in condition or "dynamodb:LeadingKeys" in condition:
                [wanted] = each["Condition"].values()
                said = wanted.get("kms:EncryptionContext:purpose") or wanted["dynamodb:LeadingKeys"]
                for action in listed(each["Action"]):
                    found[action] = found.get(action, set()) | set(listed(said))
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_the_consumer_has_keys_and_may_make_the_first(name: str) -> None:
    templates = stage(name).templates

    found = function(templates, names.CONSUME)
    assert len(found["Layers"]) == 2
    assert found["Environment"]["Variables"]["PRIVACY"] == "on"
    assert {"KEYS", "SUBJECTS", "PRIVACY_KEY"} <= found["Environment"]["Variables"].keys()
    assert "kms:GenerateDataKeyWithoutPlaintext" in json.dumps(templates["Rivermill-Ingest"])
    assert "kms:GenerateDataKeyWithoutPlaintext" not in json.dumps(templates["Rivermill-Privacy"])


@pytest.mark.parametrize("name", CONFIGS)
def test_who_decides_cannot_turn_a_token_back_and_who_learns_opens_two_kinds_of_keys_alone(name: str) -> None:
    templates = stage(name).templates
    made = {"kms:GenerateDataKeyWithoutPlaintext": {UNITS}, "dynamodb:PutItem": {UNITS}}

    for role, opened in (("Decide", {UNITS}), ("Learn", {TOKENS, UNITS})):
        found = purposes(templates, "Rivermill-Experiment", role)
        assert found == {"kms:Decrypt": opened, "dynamodb:Query": opened} | made
    assert not function(templates, names.DECIDE).get("Layers")  # it computes digests by the standard library


@pytest.mark.slow
def test_with_privacy_off_nobody_but_the_steward_has_keys() -> None:
    templates = synthesize(replace(CONFIGS["dev"], privacy="off")).templates

    for name in (names.CONSUME, names.REDRIVE, names.ERASURE_REQUEST, names.DECIDE, names.LEARN):
        assert not {"PRIVACY_KEY", "KEYS"} & function(templates, name)["Environment"]["Variables"].keys()
    assert "PRIVACY_KEY" in function(templates, names.DETOKENIZE)["Environment"]["Variables"]
