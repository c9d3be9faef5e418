"""pyiceberg's files through a boto3 client, so that manifests and metadata are struck by faults as all else is."""

from __future__ import annotations

import io
from typing import Any

from botocore.exceptions import ClientError
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

NAME = f"{__name__}.ClientFiles"


def split(location: str) -> dict[str, str]:
    """Name a location as S3 does."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


class Upload(io.BytesIO):
    """Bytes that become an object when they are closed without an error."""

    def __init__(self, client: Any, location: str) -> None:
        super().__init__()
        self._client, self._location = client, location

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()

    def close(self) -> None:
        if not self.closed:
            body = self.getvalue()
            super().close()
            self._client.put_object(**split(self._location), Body=body)


class ClientInput(InputFile):
    def __init__(self, client: Any, location: str) -> None:
        super().__init__(location)
        self._client = client

    def __len__(self) -> int:
        return int(self._client.head_object(**split(self.location))["ContentLength"])

    def exists(self) -> bool:
        try:
            self._client.head_object(**split(self.location))
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        return io.BytesIO(self._client.get_object(**split(self.location))["Body"].read())


class ClientOutput(OutputFile):
    def __init__(self, client: Any, location: str) -> None:
        super().__init__(location)
        self._client = client

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        return self.to_input_file().exists()

    def to_input_file(self) -> InputFile:
        return ClientInput(self._client, self.location)

    def create(self, overwrite: bool = False) -> OutputStream:
        if not overwrite and self.exists():
            raise FileExistsError(self.location)
        return Upload(self._client, self.location)


class ClientFiles(FileIO):
    """Files of a bucket; `client` is set for all of them before a catalogue is opened."""

    client: Any = None

    def new_input(self, location: str) -> InputFile:
        return ClientInput(self.client, location)

    def new_output(self, location: str) -> OutputFile:
        return ClientOutput(self.client, location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        self.client.delete_object(**split(location if isinstance(location, str) else location.location))
