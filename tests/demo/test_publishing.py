"""What the demo says of published tables and answers: by counts of its own, and it notices what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo import grouped
from demo.bounded import drawn, exact, off
from demo.claims import about_anonymized, about_released
from demo.publishing_page import section
from domain.privacy.anonymize import models
from domain.privacy.anonymize.declaration import Sensitive
from domain.privacy.release.declaration import Kind
from domain.publications import VISITORS
from tests.domain.privacy.release.any import any_dataset, any_question

EDGES = (0.01, 25.0)
MEASURES = {
    "groups": 9,
    "k": 10,
    "prosecutor": {"highest": 0.1, "average": 0.05, "at_risk": 0.0},
    "marketer": 0.05,
    "loss": 0.1,
    "revenue": {"distinct": 2, "entropy": 1.5, "close": 0.2},
}


def any_table(**checked: float) -> dict[str, Any]:
    report = {"people": 900, "suppressed": 0, "left_out": 0, "before": MEASURES, "after": MEASURES}
    found = {"k": 12, "diverse": 1.5, "close": 0.2, "groups": 9, "people": 900, **checked}
    wanted = {"revenue": {"diverse": 1.0, "close": 0.3}}
    return {"name": "visitors", "k": 10, "wanted": wanted, "checked": {"revenue": found}, "report": report}


def any_answers(**fields: Any) -> dict[str, Any]:
    row = {"question": "sessions", "of": "", "answer": 90.0, "error": 9.0, "foretold": 9.0}
    row |= {"bounded": 88.0, "truth": 95.0, "within": True}
    known = {"rows": [row] * 20, "left": [4.0, 3.8, 3.8], "same": True, "free": True, "refusal": "3.8 is left"}
    return {"dataset": "shopping", "epsilon": 1.0, "of": 4.0, **known, **fields}


def test_k_l_and_t_are_those_of_the_papers_measures(tmp_path: Path) -> None:
    random = Random(3)
    rows: list[dict[str, Any]] = [
        {
            "device": random.choice(["a", None]),
            "country": "*",
            "events": "[0, 9]",
            "revenue": random.choice([0.0, 9, 80]),
        }
        for _ in range(60)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "part.parquet")
    publication = replace(VISITORS, sensitive={"revenue": Sensitive(edges=EDGES)})
    codes = np.array([sum(row["revenue"] >= edge for edge in EDGES) for row in rows])
    table = models.contingency(np.array([row["device"] is None for row in rows], dtype=np.int64), codes)

    found = grouped.measure(publication, [tmp_path / "part.parquet"])["revenue"]

    assert found["k"] == table.sum(axis=1).min()
    assert found["diverse"] == pytest.approx(models.entropy_diversity(table).min())
    assert found["close"] == pytest.approx(models.closeness(table, ordered=True).max())
    assert found["people"] == 60


def test_a_group_too_small_or_too_far_breaks_the_claim() -> None:
    assert [claim.holds for claim in about_anonymized(any_table(), many=True)] == [True, True]
    assert [claim.holds for claim in about_anonymized(any_table(k=9), many=True)] == [False, True]
    assert [claim.holds for claim in about_anonymized(any_table(close=0.31), many=True)] == [False, True]
    assert [claim.holds for claim in about_anonymized({"refused": "too few"}, many=True)] == [False]
    assert not list(about_anonymized({"refused": "too few"}, many=False))


def test_noise_that_is_larger_than_stated_breaks_the_claim_and_so_does_a_second_charge() -> None:
    [row, *_] = any_answers()["rows"]
    wrong = [{**row, "within": place > 9} for place in range(20)]

    assert [claim.holds for claim in about_released(any_answers())] == [True] * 3
    assert [claim.holds for claim in about_released(any_answers(rows=wrong))] == [False, True, True]
    assert [claim.holds for claim in about_released(any_answers(left=[4.0, 3.8, 3.6]))] == [True, False, True]
    assert [claim.holds for claim in about_released(any_answers(refusal=""))] == [True, True, False]


def test_only_so_much_of_a_person_counts_and_no_value_beyond_its_bounds() -> None:
    question = any_question(Kind.SUM, column="events", upper=10.0, by=("country",), keys=(("DE",),))
    dataset = any_dataset(question, rows_per_subject=2, groups_per_subject=1)
    rows = [
        {"user_id": user, "session_id": f"s{place}", "country": country, "events": events}
        for place, (user, country, events) in enumerate(
            [
                ("a", "DE", 99.0),
                ("a", "DE", 99.0),
                ("a", "DE", 99.0),
                ("b", "DE", 3.0),
                ("b", "FR", 5.0),
                (None, "DE", 7.0),
            ]
        )
    ]
    answer = {"key": {"country": "DE"}, "value": 20.0, "error": 1.0}

    assert exact(question, drawn(dataset, question, rows), answer) == 23.0
    assert off(question, drawn(dataset, question, rows), answer) == 3.0


def test_the_page_shows_answers_beside_the_truth_and_risk_before_and_after() -> None:
    shown = section({"published": {"table": any_table(), "answers": any_answers()}})

    assert "<td>90</td><td>±9</td><td>88</td><td>within</td><td>95</td>" in shown
    assert "<td>12, at least 10</td>" in shown
    assert "3.8 is left" in shown
    assert "No table was published: &lt;few&gt;" in section(
        {"published": {"table": {"refused": "<few>"}, "answers": any_answers()}}
    )
    assert section({}) == ""
