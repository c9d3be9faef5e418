"""Third-party packages for Lambda functions: one zip a requirements file, built by pip for Lambda's platform."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from aws_cdk import AssetHashType
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks.constructs.code import ROOT

PYTHON = "3.13"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux2014_aarch64")
REQUIREMENTS = ROOT / "lambdas" / "requirements"
CACHE = ROOT / "build" / "layers"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold

# boto3 comes with the runtime; the rest is what a package carries beyond what our functions import.
LEFT_OUT = (
    "boto3/*",
    "boto3-*",
    "botocore/*",
    "botocore-*",
    "s3transfer/*",
    "s3transfer-*",
    "bin/*",
    "*/tests/*",
    "*/__pycache__/*",
    "*.pyi",
    "*.pyx",
    "*.pxd",
    "*.pxi",
    "*.h",
    "*.hpp",
    "*.cc",
    "*.a",
    "*.cmake",
    "pyarrow/*_tests*",
    "pyarrow/lib*.so.*.*.*",  # the wheel holds such a library three times; the loader asks for lib….so.2500
    "pyarrow/libarrow_python*.so",
    "pyarrow/include/*",
    "pyarrow/src/*",
    "pyarrow/*flight*",
    "pyarrow/_substrait*",
    "pyarrow/substrait*",
    "pyarrow/*gandiva*",
    "pyarrow/*orc*",
    "pyarrow/_azurefs*",
    "pyarrow/_gcsfs*",
    "pyarrow/_hdfs*",
    "pyarrow/_cuda*",
    "pyarrow/_feather*",
)


class LayerFailed(RuntimeError):
    """The layer's packages cannot be had; says what pip said."""


@dataclass(frozen=True, slots=True)
class Built:
    """A layer's zip and its size once unpacked, in bytes."""

    path: Path
    digest: str
    unzipped: int


class Layer(lambda_.LayerVersion):
    """The packages of `lambdas/requirements/<name>.txt`, of known unpacked size."""

    def __init__(self, scope: Construct, id: str, *, name: str) -> None:
        built = build(REQUIREMENTS / f"{name}.txt")
        super().__init__(
            scope,
            id,
            code=lambda_.Code.from_asset(
                str(built.path), asset_hash=built.digest, asset_hash_type=AssetHashType.CUSTOM
            ),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
            compatible_architectures=[lambda_.Architecture.ARM_64],
            description=f"lambdas/requirements/{name}.txt",
        )
        self.unzipped = built.unzipped


def build(requirements: Path) -> Built:
    """Build a layer's zip, or find it if these requirements were built before; raise LayerFailed if pip cannot."""
    pins = requirements.read_bytes()
    digest = hashlib.sha256(repr((pins, PYTHON, PLATFORMS, LEFT_OUT)).encode()).hexdigest()
    path = CACHE / f"{requirements.stem}-{digest[:16]}.zip"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            install(requirements, Path(scratch, "python"))
            part = Path(scratch, "layer.zip")
            pack(Path(scratch, "python"), part)
            part.replace(path)  # another synth may be building the same; either's zip will do
    with zipfile.ZipFile(path) as archive:
        return Built(path, digest, sum(item.file_size for item in archive.infolist()))


def install(requirements: Path, target: Path) -> None:
    """Let pip put the packages for Lambda's platform into a folder; no package is built or run here."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    # Lists are whole: what a package asks for and our functions never import would fill the layer.
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON, *platforms]
    command += ["--target", str(target), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LayerFailed(f"{requirements.name}: pip could not install it for {PLATFORMS[0]}:\n{done.stderr.strip()}")


def pack(folder: Path, archive: Path) -> None:
    """Zip the files that a layer keeps; the same files give the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as target:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if keeps(name):
                item = zipfile.ZipInfo(f"python/{name}", EPOCH)
                item.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
                item.compress_type = zipfile.ZIP_DEFLATED
                target.writestr(item, path.read_bytes())


def keeps(name: str) -> bool:
    """Say whether a layer keeps a file; `name` is relative to the folder of packages.

    >>> keeps("pyarrow/parquet/core.py"), keeps("pyarrow/tests/test_io.py"), keeps("pyarrow-25.0.1.dist-info/METADATA")
    (True, False, True)
    """
    return not any(fnmatch(str(PurePosixPath(name)), pattern) for pattern in LEFT_OUT)
