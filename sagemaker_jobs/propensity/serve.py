"""Answer requests for predictions in SageMaker's scikit-learn container."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from domain.serve.request import Row, read
from sagemaker_jobs.propensity.model import Model, load

JSON = "application/json"


class UnsupportedType(ValueError):
    """A request comes in, or asks for, a content type that is not spoken here."""


def model_fn(model_dir: str) -> Model:
    """Load the model from its unpacked artefact."""
    return load(Path(model_dir))


def input_fn(body: str | bytes, content_type: str) -> list[Row]:
    """Read and check `{"instances": [{feature: value, …}, …]}`."""
    _only_json(content_type)
    return read(body)


def predict_fn(rows: list[Row], model: Model) -> dict[str, object]:
    """Score the rows."""
    return {"predictions": model.score(rows), "model": model.name}


def output_fn(prediction: dict[str, object], accept: str) -> str:
    """Write the answer; a float's JSON reads back as the same float."""
    _only_json(accept)
    return json.dumps(prediction)


def _only_json(kind: str) -> None:
    if kind.split(";", maxsplit=1)[0].strip() not in (JSON, "*/*"):
        raise UnsupportedType(f"{kind} is not spoken here; use {JSON}")


def main() -> None:
    """Score a request from standard input with the model whose artefact this code lies in, as the endpoint would."""
    model = model_fn(sys.argv[1])
    print(output_fn(predict_fn(input_fn(sys.stdin.buffer.read(), JSON), model), JSON))


if __name__ == "__main__":
    main()
