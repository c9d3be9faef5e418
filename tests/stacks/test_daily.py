"""The day's state machine: every step is reachable, bounded, retried and caught."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from local.cloud import Cloud
from sagemaker_jobs.propensity.settings import TrainSettings, ValidateSettings
from stacks import jobs, names
from stacks.daily import Place, definition
from tests.local.builders import any_name, make_queue, messages, until
from tests.local.jobs import execute, finished_execution, make_glue_job, make_machine
from tests.stacks.synthesized import stage
from tests.test_stacks import definition as deployed_definition
from tests.test_stacks import function

PLACE = Place(
    key="arn:key",
    notices="arn:topic",
    image="image",
    training_role="arn:role",
    training_instance="ml.m5.large",
    source="s3://assets/source.tar.gz",
)
DAILY = definition(PLACE)
STATES: dict[str, dict[str, Any]] = DAILY["States"]
SPARED = {name for job in jobs.DAILY if not job.vital for name in (job.title, f"{job.title}Failed")}
NOTICES = {"Notify", "ReadoutFailed"}
TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]


def following(state: dict[str, Any]) -> Iterator[str]:
    if "Next" in state:
        yield state["Next"]
    if "Default" in state:
        yield state["Default"]
    for rule in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield rule["Next"]


def reached(name: str, seen: set[str]) -> set[str]:
    if name not in seen:
        seen.add(name)
        for after in following(STATES[name]):
            reached(after, seen)
    return seen


def test_every_state_is_reached_and_every_way_leads_to_a_state() -> None:
    assert reached(DAILY["StartAt"], set()) == set(STATES)


@pytest.mark.slow
def test_what_is_deployed_is_what_is_written() -> None:
    """The CDK drops nulls on the way, and with a null ResultPath a step's input is lost."""
    deployed = deployed_definition(stage("dev").templates)["States"]

    assert {name: keys(state) for name, state in deployed.items()} == {
        name: keys(state) for name, state in STATES.items()
    }


def keys(value: Any) -> Any:
    """Keep the shape of a value and forget its words."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items()}
    return [keys(item) for item in value] if isinstance(value, list | tuple) else type(value).__name__


@pytest.mark.parametrize("name", TASKS)
def test_every_step_keeps_what_the_steps_before_it_found(name: str) -> None:
    assert STATES[name]["ResultPath"].startswith("$.")


def test_the_steps_follow_the_data() -> None:
    order = [*(job.title for job in jobs.DAILY), "Plan", "Trainable"]

    assert [STATES[name].get("Next") for name in order[:-1]] == order[1:]
    assert STATES["Trainable"]["Choices"][0]["Next"] == "Train"
    assert [STATES[name]["Next"] for name in ("Train", "Validate", "Register")] == [
        "Validate",
        "Register",
        "Registered",
    ]
    assert STATES["Registered"]["Choices"][0]["Next"] == "Deploy"


def test_no_job_of_the_day_reads_what_a_later_one_writes() -> None:
    for place, job in enumerate(jobs.DAILY):
        written_later = {table.full_name for later in jobs.DAILY[place:] for table in later.writes}
        assert not {table.full_name for table in job.reads} & written_later


@pytest.mark.parametrize("name", TASKS)
def test_every_task_ends_in_time_and_a_failure_is_told(name: str) -> None:
    state = STATES[name]
    [caught] = state["Catch"]

    assert 0 < state["TimeoutSeconds"] <= DAILY["TimeoutSeconds"]
    assert caught["ErrorEquals"] == ["States.ALL"]
    if name == "Notify":
        assert caught["Next"] == "Failed"
    elif name not in SPARED:
        assert caught["Next"] == "Notify"


def test_a_readout_that_fails_is_told_of_and_the_day_goes_on() -> None:
    [readout] = [job for job in jobs.DAILY if not job.vital]
    [caught] = STATES[readout.title]["Catch"]
    told = STATES[caught["Next"]]

    assert readout.module == "experiment.readout"
    assert caught["ErrorEquals"] == ["States.ALL"]
    assert told["Resource"].endswith(":sns:publish")
    assert caught["ResultPath"] in told["Parameters"]["Message.$"]
    assert told["Next"] == told["Catch"][0]["Next"] == STATES[readout.title]["Next"]


@pytest.mark.slow
def test_a_day_whose_readout_fails_comes_to_its_next_step_and_people_are_told_why(cloud: Cloud) -> None:
    url, arn = make_queue(cloud)
    topic = cloud.client("sns").create_topic(Name=any_name("topic"))["TopicArn"]
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    states = definition(replace(PLACE, notices=topic))["States"]
    job = make_glue_job(cloud, "raise ValueError('no statistics')")
    arguments = {"--day": "2026-03-01", "--run": "any"}
    readout = {**states["Readout"], "Parameters": {"JobName": job, "Arguments": arguments}, "Retry": []}
    after = {readout["Next"]: {"Type": "Succeed"}}
    machine = make_machine(cloud, {"Readout": readout, "ReadoutFailed": states["ReadoutFailed"], **after})

    found = finished_execution(cloud, execute(cloud, machine, {"day": "2026-03-01"}))
    [told] = [json.loads(message) for message in until(lambda: messages(cloud, url))]
    assert found["status"] == "SUCCEEDED"
    assert told["Subject"] == f"Rivermill: {found['name']} goes on without Readout"
    assert "no statistics" in told["Message"]


def test_nothing_of_the_day_reads_what_a_job_writes_that_may_fail_without_it() -> None:
    spared = {table.full_name for job in jobs.DAILY if not job.vital for table in job.writes}

    assert spared and not any({table.full_name for table in job.reads} & spared for job in jobs.DAILY)


@pytest.mark.parametrize("name", [name for name in TASKS if name not in NOTICES])
def test_every_task_is_tried_again_and_not_for_ever(name: str) -> None:
    for rule in STATES[name]["Retry"]:
        assert 1 <= rule["MaxAttempts"] <= 30
        assert rule["IntervalSeconds"] >= 1


def test_a_day_with_nothing_to_learn_from_ends_well_and_says_why() -> None:
    ending = STATES[STATES["Trainable"]["Default"]]

    assert ending == {"Type": "Succeed", "OutputPath": "$.plan.Payload"}


def test_a_model_that_is_not_better_ends_well() -> None:
    assert STATES[STATES["Registered"]["Default"]]["Type"] == "Succeed"


def test_a_failure_ends_as_one() -> None:
    assert STATES[STATES["Notify"]["Next"]]["Type"] == "Fail"
    assert STATES["Notify"]["Parameters"]["TopicArn"] == PLACE.notices


def test_a_deployment_counts_only_when_the_new_model_serves() -> None:
    serving = STATES["Serving"]["Choices"][0]

    assert serving["Next"] == "Deployed"
    assert [rule["Variable"] for rule in serving["And"]] == ["$.endpoint.status", "$.endpoint.config"]
    assert serving["And"][1]["StringEqualsPath"] == "$.deploy.Payload.endpoint_config"
    assert STATES["Serving"]["Default"] == "TakenBack"


def test_jobs_of_a_second_attempt_have_another_name() -> None:
    for step, key in (("Train", "TrainingJobName.$"), ("Validate", "ProcessingJobName.$")):
        assert "$$.State.RetryCount" in STATES[step]["Parameters"][key]


def test_training_is_told_all_that_it_reads() -> None:
    told = {name.removesuffix(".$") for name in STATES["Train"]["Parameters"]["HyperParameters"]}
    asked = {name.removeprefix("sm_hp_") for name in TrainSettings.__slots__ if name.startswith("sm_hp_")}
    channels = {channel["ChannelName"] for channel in STATES["Train"]["Parameters"]["InputDataConfig"]}

    assert asked <= told
    assert {f"sm_channel_{name}" for name in channels} <= set(TrainSettings.__slots__)


def test_validation_is_told_all_that_it_reads() -> None:
    told = {name.removesuffix(".$").lower() for name in STATES["Validate"]["Parameters"]["Environment"]}

    assert told == set(ValidateSettings.__slots__)


def test_the_schedule_starts_this_very_machine() -> None:
    orchestrate = stage("dev").templates["Rivermill-Orchestrate"]
    started = function(orchestrate, names.START)["Environment"]["Variables"]["STATE_MACHINE"]

    assert orchestrate["Resources"][started["Ref"]]["Properties"]["StateMachineName"] == names.DAILY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "begins"),
    [
        ({"day": "2026-11-21"}, True),
        ({"day": "yesterday"}, False),
        ({"day": 20261121}, False),
        ({"day": None}, False),
        ({}, False),
    ],
)
def test_a_day_that_is_none_ends_the_day_before_any_job_is_started(cloud: Cloud, given: Any, begins: bool) -> None:
    states = {"Asked": STATES["Asked"], "NoDay": STATES["NoDay"], jobs.DAILY[0].title: {"Type": "Pass", "End": True}}
    found = finished_execution(cloud, execute(cloud, make_machine(cloud, states), given))

    assert (found["status"], found.get("error")) == (("SUCCEEDED", None) if begins else ("FAILED", "NoDay"))
