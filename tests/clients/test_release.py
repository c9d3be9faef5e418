"""What a person who publishes types and sees: against the deployed job, with its table of accounts."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from clients.privacy import release
from clients.privacy.__main__ import main
from domain.privacy.release.declaration import Kind, RefusedRelease
from domain.privacy.release.plan import plans
from domain.releases import SHOPPING
from tests.domain.privacy.release.any import any_dataset, any_question
from tests.platform import DAY, Day, Platform

ASK = ("release", "--dataset", "shopping", "--day", DAY.isoformat(), "--epsilon")


@pytest.mark.slow
def test_a_dataset_is_published_once_and_then_refused_what_is_not_left(
    platform: Platform, day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    users = Counter(platform.scan("curated.sessions", "user_id")["user_id"].to_pylist())
    rows = sum(min(sessions, SHOPPING.rows_per_subject) for sessions in users.values())

    assert main([*ASK, "1"]) == 0
    first = capsys.readouterr().out
    found = re.search(r"^sessions +([\d.,e+]+) ±([\d.,e+]+)", first, re.MULTILINE)
    assert found
    value, error = (float(part.replace(",", "")) for part in found.groups())
    assert abs(value - rows) <= 5 * error  # nine standard deviations, and six digits told

    assert main([*ASK, "1"]) == 0
    again = capsys.readouterr().out
    assert told(again) == told(first)
    assert "this takes 0 %" in again

    assert main([*ASK, "3.9"]) == 2
    assert re.search(r"shopping has 3\.\d+ left of 4; ask for EPSILON=3\.\d+ or less", capsys.readouterr().err)


def told(output: str) -> list[str]:
    """Leave the answers and what is left, without what was foretold."""
    return output.splitlines()[list(map(str.strip, output.splitlines())).index(separator(output)) + 1 :]


def separator(output: str) -> str:
    return next(line.strip() for line in output.splitlines() if "this takes" in line)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--dataset", "nothing", "--epsilon", "1"], "dataset is 'nothing': write one of shopping"),
        (["--dataset", "shopping", "--epsilon", "much"], "epsilon is 'much': write a number above 0"),
        (["--dataset", "shopping", "--epsilon", "1", "--day", "monday"], "day is 'monday': write YYYY-MM-DD"),
        (["--dataset", "shopping", "--epsilon", "1", "--day", "9999-12-31"], "day is '9999-12-31': it has not come"),
        (["--dataset", "shopping", "--epsilon", "1", "--dry-run", "yes"], "dry_run is 'yes'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_starts(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["release", *given]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["erase", "--subject", "u-1"],
        ["release", "--dataset", "shopping", "--epsilon", "1"],
        ["detokenize", "--tokens", "t"],
    ],
)
@pytest.mark.usefixtures("without_credentials")
def test_who_cannot_reach_aws_is_told_so_in_a_line(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == 2
    assert capsys.readouterr().err.startswith("rivermill: AWS cannot be asked: Unable to locate credentials")


def test_a_certificate_is_not_checked_without_the_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "any.json"]) == 2
    assert capsys.readouterr().err == (
        "rivermill: write --public-key: the file that came with the certificate (public-key.pem)\n"
    )


def test_groups_too_small_for_the_noise_are_refused_with_what_would_fit() -> None:
    question = any_question(Kind.COUNT, name="fine", within=10.0)
    dataset = any_dataset(question)

    with pytest.raises(
        RefusedRelease, match=r"off by \d+; 10 is the most.*takes EPSILON=0\.\d+; 3\.5 is left"
    ) as caught:
        release.refuse_useless(dataset, plans(dataset, 0.2), 0.2, 3.5)
    [least] = map(float, re.findall(r"EPSILON=([\d.]+)", str(caught.value)))
    release.refuse_useless(dataset, plans(dataset, least), least, 3.5)
    with pytest.raises(RefusedRelease):
        release.refuse_useless(dataset, plans(dataset, least - 0.2), least - 0.2, 3.5)


def test_an_error_that_no_budget_reaches_is_refused_as_that() -> None:
    dataset = any_dataset(replace(any_question(Kind.COUNT), within=0.5))

    with pytest.raises(RefusedRelease, match="which no budget of this dataset reaches"):
        release.refuse_useless(dataset, plans(dataset, 1.0), 1.0, 4.0)
