"""Lay out /opt/ml for a job's process, which cannot own the real one, and say what images it may stand for.

Each job has a root folder in place of /opt/ml. Every /opt/ml in the arguments and variables that a caller gives is
rewritten to that root, so a script works here if it reads its locations from arguments and variables alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moto.sagemaker.exceptions import ValidationError

from local.cloud import Cloud

RUNNABLE_IMAGE = "sagemaker-scikit-learn"
ROOT = "/opt/ml"
_IN_TEXT = re.compile(r"(?<![\w./-])/opt/ml(?![\w-])")
_KEPT_VARIABLES = ("LANG", "TMPDIR")
_COPIES_AT_ONCE = 8


class JobFailed(Exception):
    """A job cannot go on; the message is the reason that its description gives."""


def refuse(field: str, value: object, allowed: str) -> None:
    """Refuse a request that goes beyond the laptop cloud. Raises moto's `ValidationError`."""
    raise ValidationError(f"{field} {value}: the laptop cloud does {allowed}")


def check_image(field: str, image: str | None) -> None:
    """Refuse an image that this machine's interpreter cannot stand for."""
    if RUNNABLE_IMAGE not in (image or ""):
        refuse(field, image, f"{RUNNABLE_IMAGE} images alone")


def rewrite(text: str, root: Path) -> str:
    """Return text with every path under /opt/ml moved under `root`.

    >>> rewrite("--in=/opt/ml/input /opt/mlx s3://b/opt/ml", Path("/x"))
    '--in=/x/input /opt/mlx s3://b/opt/ml'
    """
    return _IN_TEXT.sub(str(root).replace("\\", r"\\"), text)


def place(path: str, root: Path) -> Path:
    """Return where a declared path of the container is on this machine. Raises `JobFailed` outside /opt/ml."""
    if path != ROOT and not path.startswith(f"{ROOT}/"):
        raise JobFailed(f"ClientError: LocalPath {path} is not under {ROOT}")
    return Path(rewrite(path, root))


def variables(cloud: Cloud, given: Mapping[str, str] | None, root: Path) -> dict[str, str]:
    """Return a container's variables: the caller's, those that reach AWS, and those that a program needs to run."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # `python3` and `pip` are this interpreter's, as a container has only one.
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    caller = {name: rewrite(value, root) for name, value in (given or {}).items()}
    # One home for all, kept between jobs, since matplotlib and others build their caches there for seconds.
    home = cloud.state / "sagemaker" / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", **cloud.environment(), **caller}


def command(words: Sequence[str], root: Path) -> list[str]:
    """Return an entry point with this machine's interpreter and the job's own folder."""
    first, *rest = words
    interpreter = sys.executable if re.fullmatch(r"(/usr/bin/)?python3?", first) else rewrite(first, root)
    return [interpreter, *(rewrite(word, root) for word in rest)]


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket and a key or prefix in it."""

    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> Place:
        """Read s3://bucket/key."""
        parts = urlsplit(uri)
        if parts.scheme != "s3" or not parts.netloc:
            raise JobFailed(f"ClientError: {uri} is not an s3:// address")
        return cls(parts.netloc, parts.path.lstrip("/"))


def bring(cloud: Cloud, source: Mapping[str, Any], folder: Path) -> None:
    """Copy what an S3 data source names, a prefix or a manifest's files, into a folder. Raises `JobFailed`."""
    kind, uri = source.get("S3DataType", "S3Prefix"), source["S3Uri"]
    if kind not in {"S3Prefix", "ManifestFile"}:
        raise JobFailed(f"ClientError: S3DataType {kind}: the laptop cloud does S3Prefix and ManifestFile")
    found = _listed(cloud, uri) if kind == "ManifestFile" else _under(cloud, uri)
    if not found:
        raise JobFailed(f"ClientError: Data download failed: no S3 objects found under {uri}")
    with ThreadPoolExecutor(_COPIES_AT_ONCE) as copies:
        list(copies.map(lambda pair: bring_file(cloud, pair[0], folder / pair[1]), found))


def _under(cloud: Cloud, uri: str) -> list[tuple[Place, str]]:
    """Return each object under a prefix with its path below it, as SageMaker lays it out."""
    prefix = Place.of(uri)
    pages = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
    keys = [item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]
    return [(Place(prefix.bucket, key), below(prefix.key, key)) for key in keys]


def below(prefix: str, key: str) -> str:
    """Return a key's path below a prefix; a prefix that is part of a name, or a whole key, leaves the name.

    >>> below("train", "train/a/b.csv"), below("train/par", "train/part-0.csv"), below("train/a.csv", "train/a.csv")
    ('a/b.csv', 'part-0.csv', 'a.csv')
    """
    rest = key.removeprefix(prefix)
    whole = prefix.endswith("/") or rest.startswith("/") or not prefix
    return rest.lstrip("/") if whole else key[prefix.rfind("/") + 1 :]


def _listed(cloud: Cloud, uri: str) -> list[tuple[Place, str]]:
    """Read a manifest: a prefix, then keys relative to it."""
    manifest = Place.of(uri)
    body = cloud.client("s3").get_object(Bucket=manifest.bucket, Key=manifest.key)["Body"].read()
    first, *names = json.loads(body)
    prefix = Place.of(first["prefix"])
    return [(Place(prefix.bucket, prefix.key + name), name) for name in names]


def bring_file(cloud: Cloud, source: Place, target: Path) -> Path:
    """Copy one object to a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    client = cloud.client("s3")
    try:
        body = client.get_object(Bucket=source.bucket, Key=source.key)["Body"]
    except client.exceptions.NoSuchKey as failure:
        raise JobFailed(f"ClientError: s3://{source.bucket}/{source.key} does not exist") from failure
    with target.open("wb") as file:
        for part in body.iter_chunks(1 << 20):
            file.write(part)
    return target


def unpack(cloud: Cloud, uri: str, folder: Path) -> None:
    """Copy a .tar.gz from S3 and unpack it into a folder. Raises `JobFailed`."""
    archive = bring_file(cloud, Place.of(uri), folder.parent / f"{folder.name}.tar.gz")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as packed:
            # Python before 3.11.4 takes no `filter=`; where there is one, it is taken from here.
            packed.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            packed.extractall(folder)  # noqa: S202 - filtered
    except tarfile.TarError as failure:
        raise JobFailed(f"ClientError: {uri} is not a tar.gz: {failure}") from failure
    archive.unlink()


def send_folder(cloud: Cloud, folder: Path, uri: str) -> None:
    """Copy every file of a folder under an S3 prefix."""
    target, client = Place.of(uri), cloud.client("s3")
    base = target.key.rstrip("/")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = "/".join(filter(None, (base, file.relative_to(folder).as_posix())))
        client.upload_file(str(file), target.bucket, key)


def send_packed(cloud: Cloud, folder: Path, uri: str) -> None:
    """Pack a folder's content as .tar.gz and copy it to S3."""
    target, archive = Place.of(uri), folder.parent / f"{folder.name}.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for path in sorted(folder.iterdir()):
            packed.add(path, path.name)
    cloud.client("s3").upload_file(str(archive), target.bucket, target.key)
    archive.unlink()
