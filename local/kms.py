"""Let a key of KMS that is disabled, or about to be deleted, do nothing: moto's goes on encrypting and decrypting.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys": such a key fails every cryptographic operation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.models import KmsBackend

from local.cloud import Cloud

OPERATIONS = ("encrypt", "decrypt", "generate_data_key", "sign")


@functools.cache
def install(cloud: Cloud) -> None:
    """Ask for the state of the key that an operation has used before its result is given away."""
    for name in OPERATIONS:
        setattr(KmsBackend, name, _asking(getattr(KmsBackend, name)))


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
