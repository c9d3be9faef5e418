from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from domain.experiment.declaration import Arm, Experiment
from domain.experiments import BUYERS, EXPERIMENTS
from lambdas.serve import deploy
from lambdas.serve.settings import DeploySettings
from tests.lambdas.serve.sagemaker import ARN, CloudWatch, SageMaker, any_package


def any_settings(**changes: str) -> DeploySettings:
    settings = {
        "endpoint": "rivermill-propensity",
        "role": "arn:aws:iam::123456789012:role/rivermill-model",
        "instance_type": "ml.m5.large",
        "instance_count": "2",
        "alarms": "",
        "packages": ARN.rpartition("/")[0],
    }
    return DeploySettings(**{**settings, **changes})


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> SageMaker:
    return put_in(monkeypatch, SageMaker(any_package()))


def put_in(
    monkeypatch: pytest.MonkeyPatch,
    sagemaker: SageMaker,
    settings: DeploySettings | None = None,
    alarms: tuple[str, ...] = (),
) -> SageMaker:
    clients: dict[str, Any] = {"sagemaker": sagemaker, "cloudwatch": CloudWatch(alarms)}
    monkeypatch.setattr(deploy, "client", clients.__getitem__)
    monkeypatch.setattr(deploy, "settings", lambda: settings or any_settings())
    return sagemaker


def deployed() -> dict[str, Any]:
    return deploy.handler({"model_package_arn": ARN}, None)


def test_the_endpoint_is_pointed_at_the_package_s_model(sagemaker: SageMaker) -> None:
    found = deployed()

    name = found["endpoint_config"]
    assert found == {"endpoint": "rivermill-propensity", "endpoint_config": name, "model": name, "updated": True}
    assert sagemaker.config == name
    assert sagemaker.models[name]["PrimaryContainer"] == any_package()["InferenceSpecification"]["Containers"][0]
    assert sagemaker.models[name]["Tags"] == [{"Key": "model-package", "Value": ARN}]
    assert sagemaker.configs[name]["ProductionVariants"][0]["InitialInstanceCount"] == 2


def test_deploying_twice_changes_nothing(sagemaker: SageMaker) -> None:
    first = deployed()
    sagemaker.status = "InService"

    second = deployed()

    assert second == {**first, "updated": False}
    assert len(sagemaker.updates) == 1


def test_a_deployment_cut_short_is_taken_up_where_it_stopped(sagemaker: SageMaker) -> None:
    name = deployed()["model"]
    sagemaker.status, sagemaker.config = "InService", "baseline"
    del sagemaker.configs[name]

    assert deployed()["updated"]
    assert sagemaker.config == name


def test_an_endpoint_that_is_being_changed_is_left_alone(sagemaker: SageMaker) -> None:
    sagemaker.status = "Updating"

    with pytest.raises(deploy.EndpointBusy, match="rivermill-propensity is Updating"):
        deployed()
    assert sagemaker.updates == []


def test_the_same_version_in_a_new_registry_is_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for place in ("s3://lake-1/model.tar.gz", "s3://lake-2/model.tar.gz"):
        put_in(monkeypatch, SageMaker(any_package(place)))
        names.add(deployed()["model"])

    assert len(names) == 2


def test_two_instances_are_enough_for_a_canary(sagemaker: SageMaker) -> None:
    deployed()

    routing = sagemaker.updates[0]["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "CANARY"
    assert routing["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 50}


def test_one_instance_moves_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker = put_in(monkeypatch, SageMaker(any_package()), any_settings(instance_count="1"))

    deployed()

    routing = sagemaker.updates[0]["DeploymentConfig"]["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert (routing["Type"], "CanarySize" in routing) == ("ALL_AT_ONCE", False)


def test_only_alarms_that_there_are_roll_back(monkeypatch: pytest.MonkeyPatch) -> None:
    sagemaker = put_in(monkeypatch, SageMaker(any_package()), any_settings(alarms="errors,latency"), ("latency",))

    deployed()

    rollback = sagemaker.updates[0]["DeploymentConfig"]["AutoRollbackConfiguration"]
    assert rollback == {"Alarms": [{"AlarmName": "latency"}]}


def test_without_alarms_no_rollback_is_asked_for(sagemaker: SageMaker) -> None:
    deployed()

    assert "AutoRollbackConfiguration" not in sagemaker.updates[0]["DeploymentConfig"]


def test_another_fault_of_sagemaker_is_not_swallowed(sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**asked: Any) -> None:
        raise ClientError({"Error": {"Code": "ResourceLimitExceeded", "Message": "too many models"}}, "CreateModel")

    monkeypatch.setattr(sagemaker, "create_model", refuse)

    with pytest.raises(ClientError, match="too many models"):
        deployed()


def package_arn(version: int) -> str:
    return f"{ARN.rpartition('/')[0]}/{version}"


MODELS = Experiment(
    name="propensity_model",
    arms=(Arm(name="champion", model=3), Arm(name="challenger", model=5)),
    control="champion",
    primary=BUYERS,
    layer="models",
)


@pytest.fixture
def running(sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch) -> SageMaker:
    """An experiment of two registered models, and a third model that the pipeline brings."""
    monkeypatch.setitem(EXPERIMENTS, MODELS.name, MODELS)
    for version in (5, 6):
        model_data = f"s3://lake/models/{version}/model.tar.gz"
        sagemaker.others[package_arn(version)] = any_package(model_data, version)
    return sagemaker


def test_an_experiment_s_models_stand_behind_the_endpoint_and_only_the_control_takes_what_nobody_assigned(
    running: SageMaker,
) -> None:
    found = deploy.handler({}, None)

    variants = running.configs[found["endpoint_config"]]["ProductionVariants"]
    weights = {each["VariantName"]: each["InitialVariantWeight"] for each in variants}
    assert weights == {"main": 1, "challenger": 0}
    data = [running.models[each["ModelName"]]["PrimaryContainer"]["ModelDataUrl"] for each in variants]
    assert data == ["s3://lake/models/job/output/model.tar.gz", "s3://lake/models/5/model.tar.gz"]
    assert (found["held_by"], found["waits"], found["updated"]) == ("propensity_model", None, True)


def test_a_model_that_comes_meanwhile_waits_and_both_variants_stay(running: SageMaker) -> None:
    before = deploy.handler({}, None)
    running.status = "InService"

    found = deploy.handler({"model_package_arn": package_arn(6)}, None)

    assert (found["waits"], found["updated"]) == (package_arn(6), False)
    assert found["endpoint_config"] == before["endpoint_config"] == running.config
    assert len(running.updates) == 1


def test_fleets_of_other_variants_are_not_shifted_between_and_those_of_the_same_are(running: SageMaker) -> None:
    deploy.handler({}, None)
    running.status = "InService"
    running.config = "another"
    deploy.handler({}, None)

    assert ["DeploymentConfig" in update for update in running.updates] == [False, True]


def test_a_promoted_arm_serves_alone_as_the_champion(running: SageMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy.handler({}, None)
    running.status = "InService"
    monkeypatch.setitem(EXPERIMENTS, MODELS.name, replace(MODELS, promoted="challenger"))

    found = deploy.handler({}, None)

    [alone] = running.configs[found["endpoint_config"]]["ProductionVariants"]
    assert (alone["VariantName"], alone["InitialVariantWeight"]) == ("main", 1)
    served = running.models[alone["ModelName"]]["PrimaryContainer"]["ModelDataUrl"]
    assert served == "s3://lake/models/5/model.tar.gz"


def test_a_model_that_nobody_registered_is_named_with_its_variant(
    running: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = (MODELS.arms[0], Arm(name="challenger", model=9))
    monkeypatch.setitem(EXPERIMENTS, MODELS.name, replace(MODELS, arms=arms))

    with pytest.raises(deploy.UnknownModel, match=r"'challenger': the registry has no .*rivermill-propensity/9"):
        deploy.handler({}, None)
    assert running.updates == []
