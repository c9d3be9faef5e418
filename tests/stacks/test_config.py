"""What a wrong stage or setting gets: one line with the field, the value and what is allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest

from app import check_settings
from stacks.config import ALLOWED, CONFIGS, Config, RefusedConfig, config_of, with_origins, with_said
from stacks.images import REGION_TO_ACCOUNT, sklearn_image
from tests.stacks.synthesized import FLAGS, ROOT

WRONG: dict[str, list[Any]] = {
    "stage": ["foo", "", None],
    "capacity": ["", None, "on_demand"],
    "expected": [None, 500],
    "shards": [0, 1_001, "4", True, 2.5],
    "stream_hours": [23, 8_761, None],
    "batch_window_seconds": [-1, 301],
    "frame_kb": [0, 1_025, 0.5],
    "fan_out": [1, None, "yes"],
    "buckets": [0, 1_025],
    "compaction": ["", None, "Optimizer", True],
    "keep_data": [1, 0, None, "no"],
    "log_days": [10, 0],
    "glue_workers": [1, 300],
    "glue_worker": ["G.3X", "g.1x"],
    "training_instance": ["m5.large", "ml.m5.tiny"],
    "endpoint_instance": ["m5.large"],
    "endpoint_instances": [0, 101, True],
    "front_clients": [(), ("web", "web"), ("Web",), "web"],
    "front_origins": [("shop.example",), ("*", "https://shop.example"), "*", ("https://shop.example/",)],
    "front_rate": [0, 10_001, 1.5],
    "front_quota": [0, 2**31],
    "front_firewall": [1, None],
    "budget_usd": [0, -5, 1.5],
    "broker": ["", None, "msk"],
    "kafka_brokers": [1, 5, 31, "2"],
    "kafka_instance": ["m7g.large", "kafka.t2.small"],
    "kafka_gigabytes": [0, 1_639],
    "kafka_partitions": [0, 1_001],
    "kafka_most_partitions": [0, 1_001],
    "erasure_max_days": [0, 3_651, None],
    "privacy": [True, None, "yes"],
    "masking": [True, None, "yes"],
}
SWITCHES = {
    "erasure_max_days": "one law, for either stage",
    "broker": "one word, for either stage",
    "privacy": "one promise, for either stage",
    "masking": "for accounts whose Lake Formation is set up; off until somebody says so (-c masking=on)",
    "fan_out": "one consumer needs no lane of its own; who adds readers switches it on",
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_setting_is_refused_with_its_field_and_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(RefusedConfig) as refused:
        replace(CONFIGS["dev"], **{name: value})

    assert str(refused.value) == f"Config.{name} is {value!r}; allowed: {ALLOWED[name].words}"


def test_every_setting_is_checked() -> None:
    assert {field.name for field in fields(Config)} == set(ALLOWED) == set(WRONG)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"events_per_second": 0}, "Config.expected.events_per_second is 0; allowed: a whole number from 1"),
        ({"event_bytes": 31}, "Config.expected.event_bytes is 31; allowed: a whole number from 32 to 1000000"),
        ({"framed": None}, "Config.expected.framed is None; allowed: True or False"),
        ({"peak_events_per_second": 999}, "Config.expected.peak_events_per_second is 999; allowed: at least 1000"),
        ({"peak_events_per_second": 800_000}, "is 800000, which needs 1,084 shards; allowed: what 1,000 shards take"),
    ],
)
def test_a_load_that_no_stream_can_carry_is_refused_by_its_field(changed: dict[str, Any], said: str) -> None:
    dev = CONFIGS["dev"]

    with pytest.raises(RefusedConfig) as refused:
        replace(dev, expected=replace(dev.expected, **changed))

    assert said in str(refused.value)


def test_a_stream_on_demand_has_no_count_of_shards() -> None:
    with pytest.raises(RefusedConfig, match=r"Config\.shards is 4; allowed: None, since the stream is on demand"):
        replace(CONFIGS["prod"], shards=4)


def test_a_topic_may_not_have_fewer_partitions_than_it_begins_with() -> None:
    with pytest.raises(RefusedConfig, match=r"kafka_most_partitions is 3; allowed: at least 4, those that it begins"):
        replace(CONFIGS["dev"], kafka_most_partitions=3)


def test_every_setting_differs_between_stages() -> None:
    dev, prod = CONFIGS["dev"], CONFIGS["prod"]

    alike = {field.name for field in fields(Config) if getattr(dev, field.name) == getattr(prod, field.name)}
    assert alike <= set(SWITCHES)


def test_the_command_line_names_the_pages_that_may_post() -> None:
    found = with_origins(CONFIGS["prod"], "https://shop.example,https://www.shop.example")

    assert found.front_origins == ("https://shop.example", "https://www.shop.example")
    assert with_origins(CONFIGS["dev"], None) == CONFIGS["dev"]
    with pytest.raises(RefusedConfig, match="allowed: a tuple of origins"):
        with_origins(CONFIGS["prod"], "shop.example")


def test_the_command_line_switches_views_that_mask_on() -> None:
    assert with_said(CONFIGS["prod"], masking="on").masking == "on"
    assert with_said(CONFIGS["dev"], masking=None) == CONFIGS["dev"]
    with pytest.raises(RefusedConfig, match=r"Config\.masking is 'yes'; allowed: on or off"):
        with_said(CONFIGS["dev"], masking="yes")


def test_an_unknown_stage_is_refused_with_the_stages_there_are() -> None:
    with pytest.raises(RefusedConfig, match="stage is 'foo'; allowed: dev or prod"):
        config_of("foo")


def test_an_unknown_region_is_refused_by_name() -> None:
    assert sklearn_image("us-east-1").startswith("683313688378.dkr.ecr.us-east-1.amazonaws.com/")
    with pytest.raises(RefusedConfig, match=f"region is 'mars-1'; .* {next(iter(REGION_TO_ACCOUNT))}"):
        sklearn_image("mars-1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"stage": "foo"}, "rivermill: stage is 'foo'; allowed: dev or prod (cdk … -c stage=dev)\n"),
        ({"stage": ""}, "rivermill: stage is ''; allowed: dev or prod (cdk … -c stage=dev)\n"),
        (
            {"destroy_data": "yes"},
            "rivermill: destroy_data is 'yes'; allowed: dev (the stage's name), or nothing\n",
        ),
        (
            {"stage": "prod", "destroy_data": "prod", "front_origins": "https://shop.example"},
            "rivermill: destroy_data is set, but Config.keep_data is True for stage 'prod'\n",
        ),
        (
            {"stage": "prod"},
            "rivermill: Config.front_origins is ('https://www.example.com',), a placeholder; write whose pages may "
            "post events, such as 'https://shop.example' (cdk … -c front_origins=https://shop.example,https://www.shop.example)\n",
        ),
    ],
)
def test_a_synth_that_is_refused_says_one_line(context: dict[str, str], said: str) -> None:
    environ = {
        **os.environ,
        "CDK_CONTEXT_JSON": json.dumps({**FLAGS, **context}),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20",  # major versions
    }

    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (1, said)


def test_a_missing_node_is_one_line_that_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "JSII_NODE": "no-such-node"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (
        1,
        "rivermill: there is no node on the PATH: run .venv/bin/python -m local.tools, which puts one into .venv\n",
    )


def test_a_word_on_the_command_line_that_sets_nothing_is_refused_with_those_that_do() -> None:
    check_settings(["stage", "aws:cdk:version-reporting", "@aws-cdk/core:stackRelativeExports"])
    with pytest.raises(RefusedConfig, match="-c stag=… sets nothing; there are stage, broker, front_origins"):
        check_settings(["stag"])
