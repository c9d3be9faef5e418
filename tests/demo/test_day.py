"""A day that failed is told in a line."""

from __future__ import annotations

import json

from demo.day import why


def test_a_job_that_failed_is_told_by_its_name_and_message_alone() -> None:
    cause = json.dumps({"JobName": "rivermill-curate", "Arguments": {"--day": "2026-11-21"}, "ErrorMessage": "no disk"})

    assert why({"cause": cause}) == "rivermill-curate: no disk"


def test_another_cause_is_told_as_it_is() -> None:
    assert why({"cause": 'Start it with {"day": …}.'}) == 'Start it with {"day": …}.'
    assert why({"cause": "[1]"}) == "[1]"
