"""KMS: a key that is disabled or about to go does nothing until it is back."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.kms.models import kms_backends

from local.cloud import Cloud
from local.kms import repeated

pytestmark = pytest.mark.slow


@pytest.fixture
def kms(cloud: Cloud) -> Any:
    return cloud.client("kms")


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return str(error.value.response["Error"]["Code"])


def test_a_disabled_key_does_nothing_until_it_is_enabled(kms: Any) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    kms.disable_key(KeyId=key)

    assert refused(kms.decrypt, CiphertextBlob=sealed) == "DisabledException"
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x") == "DisabledException"
    assert refused(kms.generate_data_key, KeyId=key, KeySpec="AES_256") == "DisabledException"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"secret"


def test_a_key_about_to_be_deleted_does_nothing(kms: Any) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    assert refused(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"


def test_with_a_seed_data_keys_come_again_for_what_they_are_bound_to(kms: Any, cloud: Cloud) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    backend = kms_backends[cloud.account][cloud.region]

    def made(seed: str, version: str) -> tuple[bytes, bytes]:
        plain, sealed, _ = repeated(seed)(backend, key, {"version": version}, 0, "AES_256")
        return plain, sealed

    assert len({made(seed, version)[0] for seed in "12" for version in "12"}) == 4
    assert made("1", "1")[0] == made("1", "1")[0]
    plain, sealed = made("1", "2")
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"version": "2"})["Plaintext"] == plain
    asked = {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": {"version": "1"}}
    assert kms.generate_data_key(**asked)["Plaintext"] != kms.generate_data_key(**asked)["Plaintext"]
