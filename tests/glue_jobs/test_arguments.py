from datetime import date, datetime, timezone

import pytest

from glue_jobs.arguments import Arguments

GIVEN = ["--day", "2026-03-01", "--run", "daily-2026-03-01", "--bucket", "lake"]


def test_a_job_reads_its_own_arguments_and_leaves_the_engines_alone() -> None:
    arguments = Arguments.read(["--JOB_NAME", "rivermill-curate", *GIVEN, "--datalake-formats", "iceberg"])

    assert arguments == Arguments(day=date(2026, 3, 1), run="daily-2026-03-01", bucket="lake")


def test_a_day_is_considered_up_to_its_last_moment_in_utc() -> None:
    assert Arguments.read(GIVEN).until == datetime(2026, 3, 2, tzinfo=timezone.utc)


def test_what_is_no_day_is_refused_with_what_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Arguments.read(["--day", "1 March", *GIVEN[2:]])

    assert "--day: '1 March' is no day; write YYYY-MM-DD" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_a_missing_argument_is_named(missing: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Arguments.read(GIVEN[:missing] + GIVEN[missing + 2 :])

    assert GIVEN[missing] in capsys.readouterr().err
