"""S3 with bodies on disk, cheap range reads, atomic conditional writes, and policies kept but not enforced."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4
from xml.sax.saxutils import escape  # writes only

from moto.iam.access_control import PermissionResult
from moto.s3 import models
from moto.s3.exceptions import InvalidRange, PreconditionFailed
from moto.s3.responses import S3Response

from local.cloud import Cloud

SPILL_BYTES = 16 * 1024

_lock = threading.RLock()
_without_body: ContextVar[bool] = ContextVar("without_body", default=False)
_XML = "http://s3.amazonaws.com/doc/2006-03-01/"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def install(cloud: Cloud) -> None:
    """Keep object bodies under the state folder and mend moto's S3."""
    folder = cloud.state / "objects"
    folder.mkdir(parents=True, exist_ok=True)
    models.tempfile = _Bodies(folder)
    models.FakeKey.value = property(_value, _set_value)
    models.FakeBucket.get_permission = _permitted
    models.S3Backend.log_incoming_request = _log_nothing
    models.FakeBucket._log_permissions_enabled_policy = lambda *_, **__: True
    models.S3Backend.list_objects = _alone(models.S3Backend.list_objects)
    models.S3Backend.list_object_versions = _alone(_without_bodies(models.S3Backend.list_object_versions))
    S3Response.list_objects_v2 = _written_plainly(S3Response.list_objects_v2, "ListBucketResult")
    S3Response.list_object_versions = _written_plainly(S3Response.list_object_versions, "ListVersionsResult")
    S3Response.get_object = _ranged(S3Response.get_object)
    S3Response.upload_part_copy = _of_one_source(S3Response.upload_part_copy)
    S3Response._key_response_post = _over_one_object(S3Response._key_response_post)
    for change in ("_key_response_put", "_key_response_delete", "_key_response_post"):
        setattr(S3Response, change, _alone(getattr(S3Response, change)))


class Body:
    """An object's bytes: in memory if few, else in a file that is open only while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._small = b""
        self._large = False
        self._position = 0

    def write(self, content: bytes) -> None:
        """Hold these bytes in place of any held before."""
        self._drop()
        if len(content) > SPILL_BYTES:
            self._spill(content)
        else:
            self._small = bytes(content)

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all that remain."""
        content = self.part(self._position, size)
        self._position += len(content)
        return content

    def part(self, start: int, size: int = -1) -> bytes:
        """Return `size` bytes from `start`, or all from there."""
        if not self._large:
            return self._small[start : None if size < 0 else start + size]
        with self._path.open("rb") as held:
            held.seek(start)
            return held.read(size)

    def file(self) -> Path:
        """Return a file with the bytes, written now if they were only in memory."""
        if not self._large:
            self._spill(self._small)
        return self._path

    def _spill(self, content: bytes) -> None:
        try:
            self._path.write_bytes(content)
        except OSError:
            self._path.unlink(missing_ok=True)  # a part of a body must not keep a full disk full
            raise
        self._large = True

    def seek(self, position: int) -> None:
        """Read from here on."""
        self._position = position

    def truncate(self) -> None:
        """Hold nothing."""
        self._drop()

    def close(self) -> None:
        """Hold nothing any more."""
        self._drop()

    def _drop(self) -> None:
        if self._large:
            self._path.unlink(missing_ok=True)
        self._large, self._small, self._position = False, b"", 0


class _Bodies:
    """Stands where moto's S3 makes a temporary file for each object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def SpooledTemporaryFile(self, *_: Any, **__: Any) -> Body:
        return Body(self._folder / uuid4().hex)


def _value(key: Any) -> bytes:
    return b"" if _without_body.get() else bytes(key._value_buffer.part(0))


def _set_value(key: Any, content: bytes | str) -> None:
    content = content.encode() if isinstance(content, str) else content
    key._value_buffer.write(content)
    key.contentsize = len(content)


def _permitted(*_: Any) -> Any:
    # moto reads a policy without its conditions, so "deny without TLS" would deny everything
    return PermissionResult.NEUTRAL


def _log_nothing(*_: Any) -> None:
    """Access logs have no reader on a laptop, and each would be one more object."""


def _alone(work: Callable[..., Any]) -> Callable[..., Any]:
    """Run one at a time: moto checks a condition and then writes, and lists while others write."""

    @functools.wraps(work)
    def locked(*arguments: Any, **keywords: Any) -> Any:
        with _lock:
            return work(*arguments, **keywords)

    return locked


def _of_one_source(copy_part: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a part only of the object that is meant, which moto does not look at."""

    @functools.wraps(copy_part)
    def checked(response: Any) -> Any:
        source = urlsplit(response.headers["x-amz-copy-source"])
        bucket, key = unquote(source.path).lstrip("/").split("/", 1)
        version = parse_qs(source.query).get("versionId", [None])[0]
        _match(response, "x-amz-copy-source-If-Match", lambda: response.backend.get_object(bucket, key, version))
        return copy_part(response)

    return checked


def _over_one_object(post: Callable[..., Any]) -> Callable[..., Any]:
    """Complete an upload only over the object that is meant, which moto does not look at."""

    @functools.wraps(post)
    def checked(response: Any, *asked: Any) -> Any:
        _, _, bucket, query, key = asked
        if "uploadId" in query:
            _match(response, "If-Match", lambda: response.backend.get_object(bucket, key))
        return post(response, *asked)

    return checked


def _match(response: Any, condition: str, found: Callable[[], Any]) -> None:
    """Raise PreconditionFailed if a request names another ETag than the object has."""
    wanted = response.headers.get(condition)
    if wanted is None:
        return
    held = found()
    if held is None or wanted.strip('"') != held.etag.strip('"'):
        raise PreconditionFailed(condition)


class _Listed:
    """A version of an object as a listing shows it."""

    def __init__(self, version: Any, is_latest: bool) -> None:
        self.version, self.is_latest = version, is_latest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.version, name)


def _without_bodies(list_versions: Callable[..., Any]) -> Callable[..., Any]:
    """List versions as they are: moto copies every object of the bucket, its body too, to show some of them.

    A listing that goes on after a version that is gone by now shows the rest of its key, where moto shows nothing more.
    """

    @functools.wraps(list_versions)
    def listed(
        backend: Any,
        bucket_name: str,
        *,
        delimiter: str | None = None,
        key_marker: str | None = None,
        max_keys: int = 1000,
        prefix: str = "",
        version_id_marker: str | None = None,
    ) -> Any:
        if delimiter or not max_keys:
            asked = {"key_marker": key_marker, "version_id_marker": version_id_marker}
            return list_versions(backend, bucket_name, delimiter, max_keys=max_keys, prefix=prefix, **asked)
        held = backend.get_bucket(bucket_name).keys
        found: list[_Listed] = []
        for name in sorted(name for name in list(held) if name.startswith(prefix) and name >= (key_marker or "")):
            newest_first = [
                _Listed(version, place == 0) for place, version in enumerate(reversed(held.getlist(name, [])))
            ]
            found += _after(newest_first, version_id_marker) if name == key_marker else newest_first
            if len(found) > max_keys:
                break
        shown, last = found[:max_keys], found[max_keys - 1] if len(found) > max_keys else None
        objects = [one for one in shown if isinstance(one.version, models.FakeKey)]
        markers = [one for one in shown if not isinstance(one.version, models.FakeKey)]
        return objects, [], markers, last and last.name, last and last.version_id

    return listed


def _after(versions: list[_Listed], marker: str | None) -> list[_Listed]:
    """Leave out the versions of a key down to a marker; all of them if there is none."""
    if marker is None:
        return []
    ids = [one.version_id or "null" for one in versions]
    return versions[ids.index(marker) + 1 :] if marker in ids else versions


def _written_plainly(list_objects: Callable[..., Any], root: str) -> Callable[..., Any]:
    """Write a listing without moto's serializer, which takes half a millisecond for each key."""

    @functools.wraps(list_objects)
    def listed(response: Any) -> Any:
        by_moto = response.serialized

        def serialized(answer: Any) -> Any:
            if not isinstance(answer.result, dict):
                return by_moto(answer)  # a refusal
            body = f'<{root} xmlns="{_XML}">{_elements(answer.result)}</{root}>'
            return 200, {**response.response_headers, "content-type": "application/xml"}, body

        response.serialized = serialized
        return list_objects(response)

    return listed


_SINGULAR = {"Versions": "Version", "DeleteMarkers": "DeleteMarker"}


def _elements(held: dict[str, Any]) -> str:
    return "".join(_element(_SINGULAR.get(name, name), value) for name, value in held.items() if value is not None)


def _element(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(_element(name, item) for item in value)
    if isinstance(value, dict):
        return f"<{name}>{_elements(value)}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else escape(str(value))
    return f"<{name}>{text}</{name}>"


def _ranged(get_object: Callable[..., Any]) -> Callable[..., Any]:
    """Read only the bytes that are asked for: moto reads the whole object and cuts it."""

    @functools.wraps(get_object)
    def ranged(response: Any) -> Any:
        asked = _RANGE.match(response.headers.get("range", ""))
        if not asked or not any(asked.groups()):
            return get_object(response)
        token = _without_body.set(True)
        try:
            status, headers, content = get_object(response)
        finally:
            _without_body.reset(token)
        if status != 200:  # noqa: PLR2004 - not modified, or a part
            return status, headers, content
        return _cut(response, headers, asked)

    return ranged


def _cut(response: Any, headers: dict[str, Any], asked: re.Match[str]) -> Any:
    key, _ = response._get_key()
    first, last = _span(asked, key.size)
    if first >= key.size or last < first:
        raise InvalidRange(actual_size=str(key.size), range_requested=asked[0])
    kept = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
    content = key._value_buffer.part(first, last - first + 1)
    kept |= {"content-range": f"bytes {first}-{last}/{key.size}", "content-length": str(len(content))}
    return 206, kept, content


def _span(asked: re.Match[str], size: int) -> tuple[int, int]:
    """Return the first and last byte of a range such as 0-99, 100- or -100 of `size` bytes."""
    first, last = asked.groups()
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def file_of(cloud: Cloud, bucket: str, key: str) -> Path:
    """Return the file that holds an object, for readers of the same machine. Raises `FileNotFoundError`."""
    held = models.s3_backends[cloud.account]["aws"].get_object(bucket, key)
    if held is None:
        raise FileNotFoundError(f"s3://{bucket}/{key}")
    return Path(held._value_buffer.file())
