"""Write the bodies of large PutRecords requests at a fifth of what boto3 takes for them.

boto3 makes text of each record and then looks at every character for what JSON escapes; base64 has no such character.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import Any

from botocore.client import BaseClient

OPERATION = "kinesis.PutRecords"
KEPT = "rivermill_entries"
PLACEHOLDER = {"Data": b"", "PartitionKey": "-"}


class Entries(list[dict[str, Any]]):
    """Records that we wrote, each with data in bytes: only these are taken; other uses of a client stay as they are."""


def take_over(client: Any) -> None:
    """Have a boto3 client write the bodies of our requests in this way; another client's stay as they are."""
    if isinstance(client, BaseClient) and client.meta.service_model.metadata["protocol"] == "json":
        events = client.meta.events
        events.register_last(f"before-parameter-build.{OPERATION}", _keep, unique_id=f"{KEPT}-keep")
        events.register_last(f"before-call.{OPERATION}", _write, unique_id=f"{KEPT}-write")


def body_of(said: dict[str, Any], entries: Entries) -> bytes:
    """Write a request's JSON: what else it says, and its records."""
    pieces = [json.dumps(said)[:-1].encode(), b', "Records": [' if said else b'"Records": [']
    for number, entry in enumerate(entries):
        rest = json.dumps({name: value for name, value in entry.items() if name != "Data"})[1:].encode()
        pieces += (b', {"Data": "' if number else b'{"Data": "', b2a_base64(entry["Data"], newline=False), b'", ', rest)
    return b"".join((*pieces, b"]}"))


def _keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Take our records out of a call before boto3 writes them."""
    if isinstance(params.get("Records"), Entries):
        context[KEPT] = params["Records"]
        params["Records"] = [PLACEHOLDER]


def _write(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    """Put them into the body that boto3 wrote, before it is signed."""
    entries = context.pop(KEPT, None)
    if entries is not None:
        said = json.loads(params["body"])
        del said["Records"]
        params["body"] = body_of(said, entries)
