"""Keep imports pointing one way, and each runtime to the packages that it has."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = {
    "domain": {"domain"},
    "lambdas": {"domain", "lambdas"},
    "glue_jobs": {"domain", "glue_jobs"},
    "sagemaker_jobs": {"domain", "sagemaker_jobs"},
    "stacks": {"domain", "lambdas", "glue_jobs", "sagemaker_jobs", "stacks"},
    "clients": {"domain", "clients"},
    "demo": {"domain", "clients", "demo"},
    "local": {"local"},
}
CORE = {"numpy", "pyarrow", "msgspec", "scipy", "cryptography"}  # what rules may use besides the standard library
HEAVY = {"boto3", "botocore", "pyspark", "aws_cdk", "constructs", "jsii", "pandas", "sklearn", "pyiceberg"}
RUNTIME = {"boto3", "botocore"}  # what Lambda's own Python brings
PACKAGES = {
    "arrow": {"pyarrow", "msgspec", "pybase64"},
    "iceberg": {"pyarrow", "msgspec", "pyiceberg", "cachetools"},
    "arrow and privacy": {"pyarrow", "msgspec", "pybase64", "numpy", "cryptography"},
    "iceberg and privacy": {"pyarrow", "msgspec", "pyiceberg", "cachetools", "numpy", "cryptography"},
    "scipy": {"numpy", "scipy"},
    "kafka": {"confluent_kafka", "aws_msk_iam_sasl_signer"},
}
COMPUTES = {
    ROOT / "domain" / "experiment" / name for name in ("contextual.py", "policies/best.py", "policies/regressions.py")
}
"""What policies import when they weigh what they have earned or a context, and not before: declaring takes none."""

FUNCTIONS = {
    "ingest/consume": "arrow and privacy",
    "ingest/commit": "iceberg",
    "ingest/conserve": "iceberg",
    "ingest/redrive": "iceberg and privacy",
    "ingest/replay": None,
    "ingest/scale": None,
    "ingest/sweep": "arrow",
    "ingest/collect": None,
    "ingest/admit": None,
    "ingest/bridge": "kafka",
    "ingest/widen": None,
    "orchestrate/start": None,
    "train/plan": None,
    "train/register": None,
    "serve/deploy": None,
    "serve/predict": None,
    "experiment/decide": None,
    "experiment/learn": "arrow and privacy",
    "experiment/report": "scipy",
    "privacy/request": "arrow and privacy",
    "privacy/erasure": "iceberg and privacy",
    "privacy/detokenize": "arrow and privacy",
}


EXTRAS = ("glue", "server")  # of requirements.txt, and those that these ask for
FETCHED = {"jdk"}  # by local/tools.py, where the machine lacks it


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Name what a module imports, `from a import b` also as `a.b`, relative imports from the root."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tops(paths: list[Path]) -> set[str]:
    return {name.partition(".")[0] for path in paths for name in imported(path)}


def closure(path: Path, seen: set[Path]) -> set[Path]:
    """Follow a module's imports through our own rooms."""
    if path in seen:
        return seen
    seen.add(path)
    for name in imported(path):
        stem = ROOT.joinpath(*name.split("."))
        for found in (stem.with_suffix(".py"), stem / "__init__.py"):
            if found.exists():
                closure(found, seen)
    return seen


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    assert tops(modules(room)) & (ROOMS.keys() | {"tests", "app"}) <= ROOMS[room]


def test_stacks_read_of_the_runtimes_only_their_settings_and_their_packing() -> None:
    runtimes = ("lambdas.", "glue_jobs.", "sagemaker_jobs.")
    found = {
        ".".join(name.split(".")[:3])
        for path in modules("stacks")
        for name in imported(path)
        if name.startswith(runtimes) and len(name.split(".")) > 2
    }

    assert {name.rpartition(".")[2] for name in found} <= {"settings", "package"}


def test_declarations_need_only_the_standard_library() -> None:
    found = tops(sorted((ROOT / "domain").glob("*.py")))

    assert found <= sys.stdlib_module_names | {"domain"}


def test_rules_need_no_service_and_no_engine() -> None:
    found = tops(modules("domain"))

    assert found <= sys.stdlib_module_names | {"domain"} | CORE
    assert not found & HEAVY


def test_only_readings_of_experiments_need_scipy_and_only_its_light_parts() -> None:
    found = {(path.parent, name) for path in modules("domain") for name in imported(path) if name.startswith("scipy")}

    assert all(ROOT / "domain" / "experiment" in (folder, *folder.parents) for folder, _ in found)
    assert {".".join(name.split(".")[:2]) for _, name in found} <= {"scipy.special", "scipy.optimize"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_only_what_its_runtime_and_its_layer_bring(function: str) -> None:
    layer = FUNCTIONS[function]
    reached = closure(ROOT / "lambdas" / f"{function}.py", set()) - (
        set() if "numpy" in PACKAGES.get(layer or "", ()) else COMPUTES
    )

    allowed = sys.stdlib_module_names | RUNTIME | {"domain", "lambdas"} | PACKAGES.get(layer or "", set())
    assert tops(sorted(reached)) <= allowed


def test_every_function_is_looked_at() -> None:
    found = {
        f"{path.parent.name}/{path.stem}"
        for path in modules("lambdas")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "handler" for node in ast.parse(path.read_text()).body
        )
    }

    assert found == FUNCTIONS.keys()


def test_nothing_is_asked_of_aws_when_a_module_is_imported() -> None:
    """A client or a setting made at import makes tests patch and reload."""
    for room in ("lambdas", "glue_jobs", "clients", "domain"):
        for path in modules(room):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                calls = [ast.unparse(call.func) for call in at_import(node)]
                assert not [call for call in calls if call in ("boto3.client", "boto3.resource", "os.environ.get")], (
                    path
                )


def at_import(node: ast.stmt) -> Iterator[ast.Call]:
    if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If):
        yield from (found for found in ast.walk(node) if isinstance(found, ast.Call))


def installed(names: set[str], seen: set[str]) -> set[str]:
    """Follow the requirements of installed distributions."""
    for name in names - seen:
        seen.add(name)
        for stated in requires(name) or ():
            need = Requirement(stated)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *EXTRAS)):
                installed({canonicalize_name(need.name)}, seen)
    return seen


@pytest.mark.slow
def test_what_the_demo_installs_has_all_that_its_rooms_import_and_that_spark_asks_for() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pinned: set[str] = {canonicalize_name(Requirement(line).name) for line in lines if line}
    used = tops([path for room in ROOMS for path in modules(room)]) - sys.stdlib_module_names - ROOMS.keys()
    sources = [path.read_text(encoding="utf-8") for path in modules("glue_jobs")]
    used |= {"pandas"} if any(".mapInArrow(" in source for source in sources) else set()
    brought, found = packages_distributions(), installed(pinned, set())
    missing = {
        name for name in used - FETCHED if not {canonicalize_name(each) for each in brought.get(name, ())} & found
    }

    assert missing == set()
