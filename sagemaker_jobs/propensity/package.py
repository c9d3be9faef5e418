"""Pack the code of the propensity jobs, and the model that serves before anything is learned; same bytes every time."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]  # of the repository, or of the unpacked code
HERE = Path(__file__).parent
SHARED = ("domain", "domain/train", "domain/serve", "sagemaker_jobs", "sagemaker_jobs/propensity")
ENTRIES = ("train.py", "validate.py", "serve.py", "requirements.txt")
"""What the containers look for at the root of the code."""

BASELINE: dict[str, Any] = {
    "intercept": -2.5,
    "weights": {"carts": 1.0, "product_views": 0.2, "purchases_before": 0.2},
}
"""A guess, written down before any data: few buy; a full cart, looking and having bought before say more do."""


def code() -> dict[str, bytes]:
    """Read the files of the code by their place in it, sorted."""
    files = {f"{folder}/{path.name}": path for folder in SHARED for path in (ROOT / folder).glob("*.py")}
    files |= {name: HERE / name for name in ENTRIES}
    files["sagemaker_jobs/propensity/requirements.txt"] = HERE / "requirements.txt"
    return {name: files[name].read_bytes() for name in sorted(files)}


def code_digest() -> str:
    """Digest the code, names and bytes: what a model's registry entry says it was trained with."""
    digest = sha256()
    for name, content in code().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build_source(path: Path) -> Path:
    """Write the code as the `sourcedir.tar.gz` that SageMaker's toolkits unpack."""
    return _write(path, code())


def build_baseline(path: Path) -> Path:
    """Write the packaged baseline as a `model.tar.gz`."""
    metadata = {"run": "baseline", "chosen": "baseline", "code_digest": code_digest()}
    return _write(
        path,
        {
            "model.json": json.dumps(BASELINE, indent=1, sort_keys=True).encode(),
            "metadata.json": json.dumps(metadata, indent=1, sort_keys=True).encode(),
            **{f"code/{name}": content for name, content in code().items()},
        },
    )


def _write(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with (
        part.open("wb") as target,
        gzip.GzipFile("", "wb", fileobj=target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)  # its time is 0, its owner nobody
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return part.replace(path)  # another synth may be reading it
