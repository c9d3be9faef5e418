"""Turn evidence into regressions, publish them, and ask a policy for each arm's share at one context; with numpy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from domain.experiment import features as declared
from domain.experiment.declaration import Experiment
from domain.experiment.evidence import Evidence, together
from domain.experiment.features import MILLION
from domain.experiment.learning import BILLION, floored, weight
from domain.experiment.policies.regressions import Regressions, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What was learned of each arm by name, and the fingerprint of the features that it was learned of."""

    arms: tuple[str, ...]
    fingerprint: str
    regressions: Regressions

    def bytes(self) -> bytes:
        """Write it: each arm's inverse, then each arm's coefficients, as little-endian doubles."""
        found = np.concatenate([self.regressions.inverse.ravel(), self.regressions.coefficients.ravel()])
        return found.astype("<f8").tobytes()


def of_bytes(arms: Sequence[str], fingerprint: str, said: bytes) -> Learnt:
    """Read what was learned."""
    numbers = np.frombuffer(said, "<f8").astype(float)
    size = round((np.sqrt(1 + 4 * len(numbers) / len(arms)) - 1) / 2)  # size² + size numbers an arm
    cut = len(arms) * size * size
    if not size or len(numbers) != cut + len(arms) * size or not np.isfinite(numbers).all():
        raise ValueError(f"{len(said)} bytes are not what is learned of {len(arms)} arms: publish it anew")
    inverse, coefficients = numbers[:cut].reshape(-1, size, size), numbers[cut:].reshape(-1, size)
    return Learnt(tuple(arms), fingerprint, Regressions(inverse, coefficients, np.zeros_like(coefficients)))


def learnt(experiment: Experiment, found: Iterable[tuple[str, Mapping[str, Evidence]]], now: datetime) -> Learnt:
    """Regress rewards on contexts as of now from pairs of a bucket and its arms' evidence, older ones weighing less."""
    size, arms = declared.size(experiment.features), tuple(arm.name for arm in experiment.arms)
    products = np.repeat(np.eye(size)[None] * experiment.policy.ridge, len(arms), axis=0)
    responses = np.zeros((len(arms), size))
    for bucket, arm_to_evidence in _by_bucket(found).items():
        weighs = weight(experiment, bucket, now)
        for place, arm in enumerate(arms):
            if arm in arm_to_evidence:
                products[place] += weighs * _square(arm_to_evidence[arm], size)
                responses[place] += weighs * np.array([float(r) for r in arm_to_evidence[arm].responses])
    responses /= MILLION * BILLION
    inverse = np.linalg.inv(products)
    coefficients = (inverse @ responses[:, :, None])[:, :, 0]
    regressions = Regressions(inverse, coefficients, responses)
    return Learnt(arms, declared.fingerprint(experiment.features), regressions)


def shares(experiment: Experiment, known: Learnt, vector: Sequence[int]) -> dict[str, float]:
    """Return each arm's exact share at a context of millionths, with the floor, and nothing for frozen arms."""
    free = [arm for arm in known.arms if arm in experiment.arm_to_share and arm not in experiment.frozen]
    if not free:
        return {}
    places = [known.arms.index(arm) for arm in free]
    found = known.regressions
    some = Regressions(found.inverse[places], found.coefficients[places], found.responses[places])
    context = np.array(vector, dtype=float) / MILLION
    return floored(experiment, free, experiment.policy.propensities(some, context) if len(free) > 1 else (1.0,))


def _by_bucket(found: Iterable[tuple[str, Mapping[str, Evidence]]]) -> dict[str, dict[str, Evidence]]:
    """Merge shards in whole numbers first, so that their order is nothing."""
    by_bucket: dict[str, dict[str, Evidence]] = {}
    for bucket, arm_to_evidence in found:
        by_bucket[bucket] = together(by_bucket.get(bucket, {}), arm_to_evidence)
    return dict(sorted(by_bucket.items()))


def _square(evidence: Evidence, size: int) -> Tensor:
    """Return Σxx' (d, d) of its upper triangle."""
    upper = np.zeros((size, size))
    upper[np.triu_indices(size)] = [float(product) for product in evidence.products]
    whole: Tensor = (upper + np.triu(upper, 1).T) / MILLION**2
    return whole
