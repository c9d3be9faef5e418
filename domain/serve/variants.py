"""Which models stand behind the endpoint while an experiment has models for its arms, and which is the champion.

The control serves as the endpoint's main variant, to which all goes that asks for no other; each further arm has a
variant by its own name and no weight, so that only who was assigned to it gets it.  A promoted arm is the champion.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.experiment.declaration import MAIN_VARIANT, Experiment


def governing(experiments: Mapping[str, Experiment]) -> Experiment | None:
    """Find the experiment whose arms are models; declarations allow one."""
    return next((each for each in experiments.values() if each.has_models), None)


def champion(experiment: Experiment) -> str:
    """Name the arm whose model serves whoever is not assigned: the promoted one, else the control."""
    return experiment.promoted or experiment.control


def variant(experiment: Experiment, arm: str) -> str:
    """Name the variant that serves an arm."""
    return MAIN_VARIANT if arm == champion(experiment) else arm


def versions(experiment: Experiment) -> dict[str, int]:
    """Map each variant to the version of its model package; once an arm is promoted, it serves alone."""
    return {
        variant(experiment, arm.name): arm.model
        for arm in experiment.arms
        if arm.model is not None and (not experiment.promoted or arm.name == experiment.promoted)
    }
