"""Read objects of S3 by ranges, and write them so that what did not change never leaves S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from domain.privacy.erasure.file import Erasure
from domain.privacy.erasure.parts import Copied, Sent, parts
from domain.privacy.erasure.splice import Splice
from lambdas.privacy.objects import Place

READ_WHOLE = 16 << 20
"""A smaller object is read in one request: several would take longer."""

SENDERS = 8


@dataclass(slots=True)
class Remote:
    """An object read by ranges, all of them of one state of it."""

    s3: Any
    place: Place
    size: int
    etag: str = ""
    _content: bytes = field(default=b"", repr=False)

    @classmethod
    def open(cls, s3: Any, place: Place) -> Remote:
        """Look at an object."""
        answer = s3.head_object(Bucket=place.bucket, Key=place.key)
        return cls(s3, place, answer["ContentLength"], answer["ETag"])

    def read(self, start: int, length: int) -> bytes:
        """Read some bytes; S3 refuses with PreconditionFailed if the object was written meanwhile."""
        if self.size > READ_WHOLE:
            return self._fetched(start, length)
        if not self._content:
            self._content = self._fetched(0, self.size)
        return self._content[start : start + length]

    def _fetched(self, start: int, length: int) -> bytes:
        if not length:
            return b""
        same = {"IfMatch": self.etag} if self.etag else {}
        span = f"bytes={start}-{start + length - 1}"
        answer = self.s3.get_object(Bucket=self.place.bucket, Key=self.place.key, Range=span, **same)
        self.etag = answer["ETag"]
        return answer["Body"].read()  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes that were sent to S3, and bytes that it copied by itself."""

    sent: int
    copied: int


def store(source: Remote, done: Erasure, to: Place) -> Moved:
    """Write what is left of an object: to a key that nobody has taken, or over itself unless it was written meanwhile.

    Raises botocore's ClientError with PreconditionFailed if another was first.
    """
    condition = {"IfMatch": source.etag} if to == source.place else {"IfNoneMatch": "*"}
    if not isinstance(done.left, Splice):
        assert done.left is not None, "an object without a row is deleted, not written"
        source.s3.put_object(Bucket=to.bucket, Key=to.key, Body=done.left, **condition)
        return Moved(len(done.left), 0)
    planned = parts(done.left)
    if all(isinstance(part, Sent) for part in planned):
        body = b"".join(part.body(source) for part in planned if isinstance(part, Sent))
        source.s3.put_object(Bucket=to.bucket, Key=to.key, Body=body, **condition)
        return Moved(len(body), 0)
    put_together(source, planned, to, condition)
    sent = sum(part.length for part in planned if isinstance(part, Sent))
    return Moved(sent, done.left.size - sent)


def put_together(source: Remote, planned: list[Copied | Sent], to: Place, condition: dict[str, str]) -> None:
    """Write an object of parts that are sent and parts that S3 copies, all or nothing."""
    s3, where = source.s3, {"Bucket": to.bucket, "Key": to.key}
    upload = s3.create_multipart_upload(**where)["UploadId"]

    def put(number: int) -> dict[str, Any]:
        part = planned[number - 1]
        named = {**where, "UploadId": upload, "PartNumber": number}
        return {"PartNumber": number, "ETag": sent(source, part, named)}

    try:
        with ThreadPoolExecutor(SENDERS) as pool:
            made = list(pool.map(put, range(1, len(planned) + 1)))
        s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": made}, **condition)
    except BaseException:
        s3.abort_multipart_upload(**where, UploadId=upload)
        raise


def sent(source: Remote, part: Copied | Sent, named: dict[str, Any]) -> str:
    """Send a part, or let S3 copy it; return its ETag."""
    if isinstance(part, Sent):
        return source.s3.upload_part(**named, Body=part.body(source))["ETag"]  # type: ignore[no-any-return]
    copied = source.s3.upload_part_copy(
        **named,
        CopySource={"Bucket": source.place.bucket, "Key": source.place.key},
        CopySourceRange=f"bytes={part.start}-{part.start + part.length - 1}",
        CopySourceIfMatch=source.etag,
    )
    return copied["CopyPartResult"]["ETag"]  # type: ignore[no-any-return]
