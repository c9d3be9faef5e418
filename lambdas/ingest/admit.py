"""Let every request through that names a key; the gateway has refused those without, and checks the key after."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Allow the whole stage: an answer is kept for a key, and serves each of its methods."""
    # arn:aws:execute-api:region:account:api/stage/METHOD/path
    api, stage, *_ = event["methodArn"].split("/")
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{api}/{stage}/*"}
    return {"principalId": "client", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
