"""Bring the code of the propensity jobs, and the model that serves before anything is learned, to where they run."""

from __future__ import annotations

import json
from hashlib import sha256

from aws_cdk import AssetHashType
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from domain.tables import PROPENSITY_FEATURES
from sagemaker_jobs.propensity.package import BASELINE, build_baseline, build_source
from stacks.constructs.code import ROOT

BUNDLES = ROOT / "build" / "bundles"


def source(scope: Construct) -> assets.Asset:
    """Bring the code that trains, validates and serves, as SageMaker's toolkits unpack it."""
    return assets.Asset(scope, "Source", path=str(build_source(BUNDLES / "source" / "sourcedir.tar.gz")))


def baseline(scope: Construct) -> assets.Asset:
    """Bring the packaged baseline model, to a place that moves only with the guess it makes and the rows it takes.

    Were it named by its content, each change of shared code would change the endpoint's template, and the next
    deployment would put the baseline in the place of the model that the pipeline has put there since.
    """
    rows = [(column.name, column.iceberg_type, column.required) for column in PROPENSITY_FEATURES]
    promise = json.dumps([BASELINE, rows], sort_keys=True)
    return assets.Asset(
        scope,
        "Baseline",
        path=str(build_baseline(BUNDLES / "baseline" / "model.tar.gz")),
        asset_hash=sha256(promise.encode()).hexdigest(),
        asset_hash_type=AssetHashType.CUSTOM,
    )
