"""Keep the model registry as SageMaker does where moto forgets or lacks something."""

from __future__ import annotations

from typing import Any

from moto.core.responses import EmptyResult
from moto.sagemaker import models
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from local.cloud import Cloud

_backend: Any = models.SageMakerModelBackend
_create_group = _backend.create_model_package_group
_create_package = _backend.create_model_package
_update_package = _backend.update_model_package


def install(_: Cloud) -> None:
    """Number, update and delete model packages as SageMaker does."""
    _backend.create_model_package_group = create_group
    _backend.create_model_package = create_package
    _backend.update_model_package = update_package
    SageMakerResponse.delete_model_package = delete_package


def create_group(backend: Any, model_package_group_name: str, **given: Any) -> Any:
    """Create a group whose name is not taken. Raises moto's `ValidationError`."""
    if model_package_group_name in backend.model_package_groups:
        raise ValidationError(f"Model Package Group already exists: {model_package_group_name}")
    return _create_group(backend, model_package_group_name=model_package_group_name, **given)


def create_package(backend: Any, **given: Any) -> str:
    """Create a package that awaits approval unless told otherwise, with a number that no version of its group had."""
    name = given["model_package_group_name"]
    if name:
        group = given["model_package_group_name"] = name.rpartition("/")[2]  # an ARN will do as well
        given["model_approval_status"] = given["model_approval_status"] or "PendingManualApproval"
    arn = str(_create_package(backend, **given))
    if name:
        arn = _renumber(backend, group, arn)
    return arn


def _renumber(backend: Any, group: str, arn: str) -> str:
    """Give the group's newest package the number after the highest one ever given."""
    kept = backend.model_package_groups[group]
    package = backend.model_packages.pop(arn)
    number = getattr(kept, "highest_version", 0) + 1
    kept.highest_version = package.model_package_version = number
    package.arn = f"{arn.rpartition('/')[0]}/{number}"
    for name in (arn, package.model_package_name):
        backend.model_package_name_mapping.pop(name, None)
    backend.model_package_name_mapping[package.arn] = package.arn
    backend.model_packages[package.arn] = package
    return str(package.arn)


def update_package(backend: Any, model_package_arn: str, **given: Any) -> str:
    """Change what is given and leave the rest."""
    package = backend.describe_model_package(model_package_arn)
    for unchanged in ("model_approval_status", "approval_description"):
        given[unchanged] = given[unchanged] or getattr(package, unchanged)
    properties = {**(package.customer_metadata_properties or {}), **(given["customer_metadata_properties"] or {})}
    given["customer_metadata_properties"] = properties
    kept = package.additional_inference_specifications
    given["additional_inference_specifications_to_add"] = given["additional_inference_specifications_to_add"] or (
        [] if kept is not None else None
    )
    return str(_update_package(backend, model_package_arn=model_package_arn, **given))


def delete_package(response: Any) -> EmptyResult:
    """Delete one package."""
    backend = response.sagemaker_backend
    package = backend.describe_model_package(response._get_param("ModelPackageName"))
    del backend.model_packages[package.arn]
    return EmptyResult()
