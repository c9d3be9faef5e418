"""An account is charged once for a question, never beyond its budget, however many ask at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest

from domain.privacy.release import ledger as rules
from domain.privacy.release.declaration import Accounting, Dataset, Kind
from domain.privacy.release.ledger import BudgetExceeded, Units, digest
from domain.privacy.release.plan import Plan, plan, total_loss
from glue_jobs.privacy import ledger as ledgers
from glue_jobs.privacy.ledger import Ledger
from glue_jobs.privacy.release import answered
from local import dynamodb
from local.cloud import Cloud
from tests.domain.privacy.release.any import any_dataset, any_question

pytestmark = pytest.mark.slow

DAY = date(2026, 3, 2)
FIT, ASK = 10, 60
"""So many questions fit into a budget, and so many are asked at once; `python -m benchmarks publish` asks 1,000."""


@pytest.fixture(scope="module")
def table(endpoint: str) -> Iterator[str]:
    """The table of accounts, on a DynamoDB that answers one after another as AWS's does."""
    dynamodb.install(Cloud(0, Path("unused")))
    ledgers.dynamodb.cache_clear()
    boto3.client("dynamodb").create_table(
        TableName=rules.TABLE,
        KeySchema=[{"AttributeName": "dataset", "KeyType": "HASH"}, {"AttributeName": "item", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("dataset", "item")],
        BillingMode="PAY_PER_REQUEST",
    )
    yield rules.TABLE
    ledgers.dynamodb.cache_clear()


def asking(dataset: Dataset, number: int, share: float = 1 / FIT) -> dict[str, Plan]:
    """Plan a question that nobody else asks, at a share of the whole budget."""
    question = any_question(Kind.SUM, name=f"q{number}", upper=60.0 + number)
    found = plan(dataset, question, total_loss(dataset) * share)
    return {digest(found, DAY): found}


def at_once(act: Callable[[int], Any], times: int) -> list[Any]:
    def tried(number: int) -> Any:
        try:
            return act(number)
        except BudgetExceeded as refused:
            return refused

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(tried, range(times)))


@pytest.mark.parametrize("accounting", Accounting)
def test_many_that_ask_at_once_get_what_the_budget_holds_and_not_one_more(table: str, accounting: Accounting) -> None:
    dataset = any_dataset(any_question(Kind.COUNT), name=f"crowd-{accounting.value}", accounting=accounting)
    ledger = Ledger(dataset)
    ended = at_once(lambda number: ledger.charge(asking(dataset, number)), ASK)
    refused = [each for each in ended if isinstance(each, BudgetExceeded)]

    assert len(ended) - len(refused) == FIT
    assert ledger.spent() <= rules.budget(dataset)
    assert all("has " in str(each) and "left of 4" in str(each) for each in refused)


def test_an_identical_question_is_charged_once_and_has_one_answer(table: str) -> None:
    dataset = any_dataset(any_question(Kind.COUNT), name="same")
    ledger, [(name, planned)] = Ledger(dataset), asking(dataset, 0).items()

    def ask(number: int) -> int:
        ledger.charge({name: planned})
        kept: int = ledger.keep(name, number)  # as if each had drawn noise of its own
        return kept

    answers = at_once(ask, 16)

    assert len(set(answers)) == 1
    assert ledger.spent() == rules.charge([planned])


def test_the_same_question_of_another_day_or_with_other_bounds_is_another(table: str) -> None:
    dataset = any_dataset(any_question(Kind.SUM))
    one = plan(dataset, dataset.questions[0], 0.1)
    wider = plan(replace(dataset, rows_per_subject=2), dataset.questions[0], 0.1)
    dearer = plan(dataset, dataset.questions[0], 0.2)
    renamed = plan(dataset, replace(dataset.questions[0], name="other"), 0.1)

    assert len({digest(one, DAY), digest(one, date(2026, 3, 3)), digest(wider, DAY), digest(dearer, DAY)}) == 4
    assert digest(renamed, DAY) == digest(one, DAY)


def test_a_job_that_died_after_its_charge_answers_at_no_further_cost(table: str) -> None:
    dataset = any_dataset(any_question(Kind.COUNT), name="died")
    planned = asking(dataset, 0)
    [name] = planned
    Ledger(dataset).charge(planned)

    assert Ledger(dataset).answer(name) is None
    assert Ledger(dataset).charge(planned) == Units()
    assert Ledger(dataset).keep(name, [1]) == [1]
    assert Ledger(dataset).spent() == rules.charge(list(planned.values()))


def test_a_release_that_does_not_fit_charges_for_none_of_its_questions(table: str) -> None:
    dataset = any_dataset(any_question(Kind.COUNT), name="whole")
    ledger = Ledger(dataset)
    ledger.charge(asking(dataset, 0, share=0.5))
    three = asking(dataset, 1, 0.2) | asking(dataset, 2, 0.2) | asking(dataset, 3, 0.2)
    before = ledger.spent()

    with pytest.raises(BudgetExceeded, match=r"whole has 2\.\d+ left of 4; ask for EPSILON=2\.\d+ or less"):
        ledger.charge(three)
    assert ledger.spent() == before
    assert ledger.charge(asking(dataset, 1, 0.2)) != Units()


def test_a_first_release_beyond_the_budget_is_refused(table: str) -> None:
    dataset = any_dataset(any_question(Kind.COUNT), name="first")

    with pytest.raises(BudgetExceeded, match="first has 4 left of 4"):
        Ledger(dataset).charge(asking(dataset, 0, share=1.01))
    assert Ledger(dataset).spent() == Units()


def test_an_answer_that_was_never_charged_is_not_kept(table: str) -> None:
    with pytest.raises(LookupError, match="never charged"):
        Ledger(any_dataset(any_question(Kind.COUNT), name="free")).keep("0" * 32, [1])


def test_what_was_answered_before_is_neither_counted_nor_noised_again(table: str) -> None:
    dataset = any_dataset(any_question(Kind.COUNT), name="again")
    planned = asking(dataset, 0)
    [name] = planned
    ledger = Ledger(dataset)
    ledger.charge(planned)
    ledger.keep(name, [{"key": {}, "value": 7, "error": 1}])

    def refuse(_: Any) -> Any:
        raise AssertionError("it was counted again")

    assert answered(planned, ledger, refuse, refuse)[name][0]["value"] == 7  # type: ignore[arg-type]
