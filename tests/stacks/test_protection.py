"""Privacy at synth: an event that says nothing of a field is refused, and the switch gives the consumer keys."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import pytest
from aws_cdk import App, Environment

import app
from domain.events import EVENTS, Event
from domain.privacy.policy import RefusedTreatment
from domain.schema import Field
from stacks import names
from stacks.config import CONFIGS
from tests.stacks.synthesized import Template, resources, stage, synthesize


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp(Event):
    """Somebody signed up; the privacy of one field was forgotten."""

    name: ClassVar[str] = "sign_up"
    email: Annotated[str, Field("Where we write to.")]


def test_an_event_with_a_field_of_unknown_privacy_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENTS, SignUp.name, SignUp)

    with pytest.raises(RefusedTreatment, match=r"SignUp\.email: its privacy is not declared"):
        app.build(App(), CONFIGS["dev"], Environment(region="us-east-1"))


def consumer(templates: dict[str, Template]) -> Template:
    """Find the consumer's function."""
    functions = resources(templates["Rivermill-Ingest"], "AWS::Lambda::Function").values()
    return next(each["Properties"] for each in functions if each["Properties"].get("FunctionName") == names.CONSUME)


def test_with_privacy_off_the_consumer_has_no_keys() -> None:
    found = consumer(stage("dev").templates)

    assert len(found["Layers"]) == 1
    assert not {"PRIVACY", "KEYS", "PRIVACY_KEY"} & found["Environment"]["Variables"].keys()


@pytest.mark.slow
def test_with_privacy_on_the_consumer_has_keys_and_may_make_the_first() -> None:
    templates = synthesize(replace(CONFIGS["dev"], privacy="on")).templates

    found = consumer(templates)
    assert len(found["Layers"]) == 2
    assert found["Environment"]["Variables"]["PRIVACY"] == "on"
    assert {"KEYS", "SUBJECTS", "PRIVACY_KEY"} <= found["Environment"]["Variables"].keys()
    assert "kms:GenerateDataKeyWithoutPlaintext" in json.dumps(templates["Rivermill-Ingest"])
    assert "kms:GenerateDataKeyWithoutPlaintext" not in json.dumps(templates["Rivermill-Privacy"])
