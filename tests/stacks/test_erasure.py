"""The state machine of erasures: each step leads somewhere, and each is one that the function takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lambdas.privacy.erasure import STEPS
from stacks import names
from stacks.erasure import definition

ANY = "arn:aws:sns:us-east-1:123456789012:any"


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def following(state: dict[str, Any]) -> set[str]:
    """Name the states that a state may lead to."""
    branches = [*state.get("Choices", ()), *state.get("Catch", ())]
    return {each["Next"] for each in (state, *branches) if "Next" in each} | {state.get("Default", "Begin")}


@pytest.mark.parametrize("learns", [True, False])
def test_every_step_leads_to_one_that_there_is_and_every_one_is_reached(learns: bool) -> None:
    machine = definition(ANY, learns=learns)
    known = set(machine["States"])
    led_to = set().union(*(following(state) for _, state in states(machine)))

    assert led_to == known
    assert ("Learn" in known) is learns


def test_every_step_is_one_that_the_function_takes_and_every_one_is_taken() -> None:
    tasks = [state for _, state in states(definition(ANY, learns=True)) if state["Type"] == "Task"]
    asked = [task["Parameters"].get("Payload", {}).get("step") for task in tasks]

    assert {step for step in asked if step} == STEPS.keys()
    called = {task["Parameters"]["FunctionName"] for task in tasks if "FunctionName" in task["Parameters"]}
    assert called == {names.ERASURE, names.COMMIT, names.LEARN}


def test_only_a_sweep_that_found_nobody_leads_to_a_certificate() -> None:
    machine = definition(ANY, learns=True)["States"]
    before = [name for name, state in machine.items() if "Certify" in following(state)]
    told = {rule["StringEquals"]: rule["Next"] for rule in machine["Swept"]["Choices"]}

    assert before == ["Swept"]
    assert told == {"more": "Sweep", "found": "Commit", "clean": "Certify"}
    assert machine["Swept"]["Default"] == "Removed"


def test_whatever_fails_for_good_is_told_and_fails_the_execution() -> None:
    machine = definition(ANY, learns=True)["States"]
    outer = {name for name, state in machine.items() if state["Type"] in ("Task", "Map") and name != "Notify"}

    assert all(machine[name]["Catch"][0]["Next"] == "Notify" for name in outer)
    assert machine["Notify"]["Next"] == "Failed"
