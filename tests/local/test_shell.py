"""What a developer's shell says of AWS and of proxies leads no client of the laptop cloud elsewhere."""

from __future__ import annotations

from pathlib import Path

from local import shell
from local.bootstrap import exports
from local.cloud import Cloud


def test_all_that_is_said_of_aws_is_forgotten_and_what_misleads_is_named() -> None:
    environ = {
        "AWS_PROFILE": "work",
        "AWS_CA_BUNDLE": "/ca.pem",
        "AWS_ENDPOINT_URL_S3": "https://s3",
        "HOME": "/home/me",
    }

    assert shell.forget(environ) == ["AWS_ENDPOINT_URL_S3", "AWS_PROFILE"]
    assert environ == {"HOME": "/home/me"}


def test_a_proxy_is_passed_by_and_what_was_to_pass_it_by_stays() -> None:
    own = "corp.example,localhost,127.0.0.1,::1"

    assert shell.around_proxies({"HOME": "/home/me"}) == {}
    assert shell.around_proxies({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "corp.example"}) == {
        "NO_PROXY": own,
        "no_proxy": own,
    }


def test_pyiceberg_is_told_the_region_and_asks_aws_for_none(tmp_path: Path) -> None:
    [first, second] = exports(Cloud(7_299, tmp_path)).splitlines()

    assert first.startswith("export AWS_ENDPOINT_URL=http://localhost:7299 ")
    assert "PYICEBERG_CATALOG__DEFAULT__S3__REGION=us-east-1" in first.split()
    assert "AWS_CONFIG_FILE=/dev/null" in second.split()


def test_what_was_forgotten_is_unset_in_a_line_before_the_two(tmp_path: Path) -> None:
    said = exports(Cloud(7_299, tmp_path), ["AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"]).splitlines()

    assert said[0] == "unset AWS_PROFILE AWS_SESSION_TOKEN"
    assert len(said) == 3
