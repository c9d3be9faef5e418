"""Synthesize a stage once for the whole session; everything else is cheap."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aws_cdk import App, Environment

from app import build
from stacks.config import CONFIGS, Config

ROOT = Path(__file__).parents[2]
FLAGS = json.loads((ROOT / "cdk.json").read_text())["context"]
Template = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Assembly:
    """The templates of a stage by stack, and the folder that they are in."""

    folder: Path
    templates: dict[str, Template]


def synthesize(config: Config, *, destroy_data: bool = False) -> Assembly:
    """Synthesize a stage; raises if a rule is broken."""
    folder = Path(tempfile.mkdtemp(prefix="rivermill-synth-"))
    # Assets need not be copied to read a template.
    app = App(outdir=str(folder), context={**FLAGS, "aws:cdk:disable-asset-staging": True}, tree_metadata=False)
    build(app, config, Environment(region="us-east-1"), destroy_data=destroy_data).synth()
    found = sorted(folder.glob("*.template.json"))
    templates = {path.name.removesuffix(".template.json"): json.loads(path.read_text()) for path in found}
    return Assembly(folder, templates)


@cache
def stage(name: str) -> Assembly:
    """Synthesize a stage of CONFIGS, once."""
    return synthesize(CONFIGS[name])


def resources(template: Template, kind: str) -> dict[str, Template]:
    """Find the resources of a type."""
    return {name: found for name, found in template["Resources"].items() if found["Type"] == kind}


def all_resources(templates: dict[str, Template], kind: str) -> dict[str, Template]:
    """Find the resources of a type in all stacks."""
    return {
        f"{stack}/{name}": found
        for stack, template in templates.items()
        for name, found in resources(template, kind).items()
    }


def only(template: Template, kind: str) -> Template:
    """Find the one resource of a type and give its properties."""
    [found] = resources(template, kind).values()
    properties: Template = found["Properties"]
    return properties
