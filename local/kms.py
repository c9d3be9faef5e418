"""Let a key of KMS that is disabled, or about to be deleted, do nothing: moto's goes on encrypting and decrypting.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys": such a key fails every cryptographic operation.

With a seed data keys come again, so that what follows from them does: a token, and whatever is chosen by one.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend

from local.cloud import Cloud

OPERATIONS = ("encrypt", "decrypt", "generate_data_key", "sign")


@functools.cache
def install(cloud: Cloud) -> None:
    """Ask for the state of the key that an operation has used before its result is given away."""
    if cloud.seed:
        KmsBackend.generate_data_key = repeated(cloud.seed)
    for name in OPERATIONS:
        setattr(KmsBackend, name, _asking(getattr(KmsBackend, name)))


def repeated(seed: str) -> Callable[..., tuple[bytes, bytes, str]]:
    """Make data keys that follow from the seed, their encryption context and their length."""

    def generate_data_key(
        backend: KmsBackend, key_id: str, encryption_context: dict[str, str], number_of_bytes: int, key_spec: str
    ) -> tuple[bytes, bytes, str]:
        length = {"AES_128": 16, "AES_256": 32}.get(key_spec) or number_of_bytes
        said = json.dumps([seed, encryption_context, length], sort_keys=True)
        plain = hashlib.shake_256(said.encode()).digest(length)
        sealed, arn = backend.encrypt(
            key_id=backend.any_id_to_key_id(key_id), plaintext=plain, encryption_context=encryption_context
        )
        return plain, sealed, arn

    return generate_data_key


def _asking(operation: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    @functools.wraps(operation)
    def asked(backend: KmsBackend, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        found = operation(backend, *args, **kwargs)
        for arn in found:
            if isinstance(arn, str) and ":key/" in arn:
                _refuse(backend.keys[arn.rpartition("/")[2]])
        return found

    return asked


def _refuse(key: Any) -> None:
    if key.key_state == "PendingDeletion":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if not key.enabled:
        raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")
