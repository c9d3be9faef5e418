from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from domain.experiment.assignment import assign
from domain.experiment.decision import Decision
from domain.experiment.declaration import Arm, Experiment
from domain.experiments import BUYERS, EXPERIMENTS
from lambdas.experiment import decide
from lambdas.experiment.settings import DecideSettings
from lambdas.serve import predict
from lambdas.serve.settings import PredictSettings
from sagemaker_jobs.propensity import serve
from sagemaker_jobs.propensity.model import Model
from sagemaker_jobs.propensity.package import build_baseline
from tests.domain.serve.test_request import any_row


@dataclass
class Endpoint:
    """The packaged baseline behind the serving code, without the network; or a fault in its place."""

    model: Model
    fault: Exception | None = None
    variants: tuple[str, ...] = ("main", "challenger")
    asked: list[dict[str, Any]] = field(default_factory=list)

    def invoke_endpoint(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        if self.fault:
            raise self.fault
        if asked.get("TargetVariant", "main") not in self.variants:
            raise refused("ValidationError")
        rows = serve.input_fn(asked["Body"], asked["ContentType"])
        answer = serve.output_fn(serve.predict_fn(rows, self.model), asked["Accept"])
        return {"Body": io.BytesIO(answer.encode())}


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    with tarfile.open(build_baseline(tmp_path / "model.tar.gz")) as archive:
        archive.extractall(tmp_path / "model")
    found = Endpoint(serve.model_fn(str(tmp_path / "model")))
    monkeypatch.setattr(predict, "runtime", lambda: found)
    settings = PredictSettings(endpoint="rivermill-propensity", decide="rivermill-decide")
    monkeypatch.setattr(predict, "settings", lambda: settings)
    return found


def asked(body: str | None, method: str = "POST", encoded: bool = False) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Ask as a function URL does (payload format 2.0)."""
    event = {
        "version": "2.0",
        "rawPath": "/",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": method, "path": "/"}},
        "isBase64Encoded": encoded,
        **({} if body is None else {"body": body}),
    }
    answer = predict.handler(event, None)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def request(*rows: dict[str, Any]) -> str:
    return json.dumps({"instances": list(rows)})


def test_each_row_is_scored_by_the_named_model(endpoint: Endpoint) -> None:
    rows = [any_row(carts=carts) for carts in range(4)]

    status, body, headers = asked(request(*rows))

    assert (status, headers["content-type"]) == (200, "application/json")
    assert body == {"predictions": endpoint.model.score(rows), "model": "baseline"}
    assert body["predictions"] == sorted(body["predictions"])
    assert endpoint.asked[0]["EndpointName"] == "rivermill-propensity"


def test_a_base64_body_is_scored_alike(endpoint: Endpoint) -> None:
    encoded = base64.b64encode(request(any_row()).encode()).decode()

    assert asked(encoded, encoded=True) == asked(request(any_row()))


def test_predictions_and_refusals_are_counted(endpoint: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    asked(request(any_row(), any_row()))
    asked(request(any_row(hour=24)))

    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("Predictions", line.get("PredictionsRefused")) for line in counted] == [2, 1]


def test_a_request_that_breaks_the_contract_gets_400_with_the_field_and_never_reaches_the_endpoint(
    endpoint: Endpoint,
) -> None:
    status, body, _ = asked(request(any_row(), any_row(hour=24)))

    assert status == 400
    assert body == {"error": "is above 23", "field": "instances[1].hour", "value": 24, "fix": "send at most 23"}
    assert endpoint.asked == []


@pytest.mark.parametrize("body", [None, "", "{", "[]", '{"instances": []}', '{"instances": [{}]}'])
def test_other_bodies_get_400(endpoint: Endpoint, body: str | None) -> None:
    status, answer, _ = asked(body)

    assert status == 400
    assert set(answer) == {"error", "field", "value", "fix"}


def test_a_body_that_is_not_base64_gets_400(endpoint: Endpoint) -> None:
    assert asked("%%%", encoded=True)[:2] == (
        400,
        {"error": "is not base64", "field": "body", "value": "%%%", "fix": "send UTF-8 JSON"},
    )


def test_more_than_a_thousand_rows_get_413(endpoint: Endpoint) -> None:
    assert asked(request(*[any_row()] * 1_000))[0] == 200
    assert asked(request(*[any_row()] * 1_001))[0] == 413


def test_a_body_of_more_than_a_mebibyte_gets_413(endpoint: Endpoint) -> None:
    status, body, _ = asked(" " * 1_048_577)

    assert (status, body["field"], body["value"]) == (413, "body", 1_048_577)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_get_405_and_the_one_that_is_allowed(endpoint: Endpoint, method: str) -> None:
    status, body, headers = asked(request(any_row()), method=method)

    assert (status, body["value"], headers["allow"]) == (405, method, "POST")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "InvokeEndpoint")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (refused("ThrottlingException"), "ThrottlingException"),
        (refused("ServiceUnavailable"), "ServiceUnavailable"),
        (refused("ModelError"), "ModelError"),
        (EndpointConnectionError(endpoint_url="https://runtime"), "EndpointConnectionError"),
        (ReadTimeoutError(endpoint_url="https://runtime"), "ReadTimeoutError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_endpoint_that_does_not_answer_gets_503_and_when_to_try_again(
    endpoint: Endpoint, fault: Exception, said: str
) -> None:
    endpoint.fault = fault

    status, body, headers = asked(request(any_row()))

    assert (status, body["value"], headers["retry-after"]) == (503, said, "1")


def test_starting_the_function_imports_nothing_heavier_than_boto3() -> None:
    script = "import sys, lambdas.serve.predict; print({'numpy', 'pyarrow', 'sklearn', 'msgspec'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "set()"


MODELS = Experiment(
    name="propensity_model",
    arms=(Arm(name="champion", model=3), Arm(name="challenger", model=5)),
    control="champion",
    primary=BUYERS,
    layer="models",
)


@dataclass
class Functions:
    """The function that decides, without its stream; or a fault in its place."""

    fault: Exception | None = None
    exposed: list[str] = field(default_factory=list)

    def invoke(self, **asked: Any) -> dict[str, Any]:
        assert asked["FunctionName"] == "rivermill-decide"
        if self.fault:
            raise self.fault
        answer = decide.handler(json.loads(asked["Payload"]), None)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def functions(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    found = Functions()
    monkeypatch.setitem(EXPERIMENTS, MODELS.name, MODELS)
    monkeypatch.setattr(predict, "functions", lambda: found)

    def log(decision: Decision, _: Any) -> bool:
        found.exposed.append(decision.unit)
        return True

    monkeypatch.setattr(decide, "_log", log)
    told = DecideSettings(decisions="rivermill-decisions", bandits="rivermill-bandits", stream="rivermill-events")
    monkeypatch.setattr(decide, "settings", lambda: told)
    decide.memory.cache_clear()
    yield found
    decide.memory.cache_clear()


def requested(unit: str | None = "u-1", **more: Any) -> str:
    return json.dumps({"instances": [any_row()], **({"unit": unit} if unit else {}), **more})


def test_a_unit_is_scored_by_the_model_of_its_arm_and_told_which_and_exposed(
    endpoint: Endpoint, functions: Functions
) -> None:
    said = [asked(requested(f"u-{number}"))[1]["decision"] for number in range(20)]

    arms = [each["arm"] for each in said]
    targets = [each["TargetVariant"] for each in endpoint.asked]
    assert set(arms) == {"champion", "challenger"}
    assert targets == ["main" if arm == "champion" else "challenger" for arm in arms]
    assert arms == [assign(MODELS, f"u-{number}") for number in range(20)]
    assert functions.exposed == [f"u-{number}" for number in range(20)]
    assert {(each["propensity"], each["reason"]) for each in said} == {(0.5, "assigned")}


def test_who_names_no_unit_is_scored_by_whatever_has_the_weight_and_not_exposed(
    endpoint: Endpoint, functions: Functions
) -> None:
    status, body, _ = asked(requested(None))

    assert (status, set(body)) == (200, {"predictions", "model"})
    assert "TargetVariant" not in endpoint.asked[0]
    assert functions.exposed == []


def test_without_an_experiment_of_models_a_unit_changes_nothing(endpoint: Endpoint) -> None:
    status, body, _ = asked(requested("u-1"))

    assert (status, set(body)) == (200, {"predictions", "model"})


@pytest.mark.parametrize("fault", [refused("TooManyRequestsException"), ReadTimeoutError(endpoint_url="https://l")])
def test_without_an_answer_the_champion_scores_and_nobody_is_exposed(
    endpoint: Endpoint, functions: Functions, fault: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    functions.fault = fault

    status, body, _ = asked(requested())

    assert (status, body["decision"]["arm"], body["decision"]["reason"]) == (200, "champion", "unavailable")
    assert body["decision"]["decision"] is None
    assert endpoint.asked[0]["TargetVariant"] == "main"
    assert '"fallback": "champion"' in capsys.readouterr().out


def test_a_variant_that_is_yet_to_be_deployed_is_told_and_the_champion_scores(
    endpoint: Endpoint, functions: Functions, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.variants = ("main",)
    unit = next(f"u-{number}" for number in range(20) if assign(MODELS, f"u-{number}") == "challenger")

    status, body, _ = asked(requested(unit))

    assert (status, body["decision"]["arm"]) == (200, "challenger")
    assert '"variant": "challenger"' in capsys.readouterr().out


def test_a_promoted_challenger_is_what_everybody_gets(
    endpoint: Endpoint, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPERIMENTS, MODELS.name, replace(MODELS, promoted="challenger"))

    said = [asked(requested(f"u-{number}"))[1]["decision"] for number in range(5)]

    assert {(each["arm"], each["reason"], each["decision"]) for each in said} == {("challenger", "promoted", None)}
    assert {each["TargetVariant"] for each in endpoint.asked} == {"main"}
    assert functions.exposed == []


@pytest.mark.parametrize(
    ("more", "field"), [({"unit": 7}, "unit"), ({"context": {"country": 7}}, "context.country"), ({"arm": "x"}, "body")]
)
def test_a_request_that_names_its_unit_wrongly_gets_400_with_the_field(
    endpoint: Endpoint, functions: Functions, more: dict[str, Any], field: str
) -> None:
    status, body, _ = asked(requested(**more))

    assert (status, body["field"]) == (400, field)
    assert endpoint.asked == []
