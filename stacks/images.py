"""Where AWS keeps SageMaker's scikit-learn container."""

from __future__ import annotations

from stacks.config import RefusedConfig

REPOSITORY = "sagemaker-scikit-learn"
TAG = "1.4-2-cpu-py3"  # Python 3.10

# aws/sagemaker-python-sdk, image_uri_config/sklearn.json
REGION_TO_ACCOUNT = {
    "ap-northeast-1": "354813040037",
    "ap-south-1": "720646828776",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
    "ca-central-1": "341280168497",
    "eu-central-1": "492215442770",
    "eu-north-1": "662702820516",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "sa-east-1": "737474898029",
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-west-2": "246618743249",
}


def sklearn_image(region: str) -> str:
    """Name the container's image in a region; raise RefusedConfig where it is not known."""
    return f"{account_of(region)}.dkr.ecr.{region}.amazonaws.com/{REPOSITORY}:{TAG}"


def sklearn_repository_arn(region: str) -> str:
    """Name the repository that holds the image."""
    return f"arn:aws:ecr:{region}:{account_of(region)}:repository/{REPOSITORY}"


def account_of(region: str) -> str:
    """Find the account that holds the image."""
    if region not in REGION_TO_ACCOUNT:
        allowed = ", ".join(REGION_TO_ACCOUNT)
        raise RefusedConfig(f"region is {region!r}; SageMaker's scikit-learn image is known in: {allowed}")
    return REGION_TO_ACCOUNT[region]
