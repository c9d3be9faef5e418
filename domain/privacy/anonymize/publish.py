"""Put people into groups that keep a publication's promises, and report what that costs and what risk is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from domain.privacy.anonymize import climb, lattice, microaggregate, models, risk
from domain.privacy.anonymize.declaration import Method, Publication, RefusedPublication, Sensitive
from domain.privacy.anonymize.hierarchy import Codes, Encoded, number
from domain.privacy.anonymize.mondrian import Box, Space

DIGITS = 6  # of a mean


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of each row, -1 for those left out; each group's labels by field; and the average loss."""

    of: Codes
    labels: tuple[tuple[str, ...], ...]
    loss: float


class Promise:
    """What a publication promises of every group: k people, and of each sensitive field diversity and closeness."""

    def __init__(self, publication: Publication, sensitive: Mapping[str, Codes], weights: Codes) -> None:
        self.k, self.weights = publication.k, weights
        wanted = ((publication.sensitive[name], codes) for name, codes in sensitive.items())
        self.fields = [(each, codes) for each, codes in wanted if each.diverse > 1 or each.close < 1]
        self.whole = [models.contingency(np.zeros_like(codes), codes, weights)[0] for _, codes in self.fields]

    def holds(self, rows: Codes) -> bool:
        """Tell whether rows may be a group."""
        weights = self.weights[rows]
        if weights.sum() < self.k:
            return False
        return all(
            bool(kept(wanted, np.bincount(codes[rows], weights, minlength=len(whole))[None, :], whole)[0])
            for (wanted, codes), whole in zip(self.fields, self.whole, strict=True)
        )

    def fit(self, groups: Codes, rows: Codes | slice = slice(None)) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Tell of each group of rows whether it keeps the promise."""
        weights = self.weights[rows]
        good = models.sizes(groups, weights) >= self.k
        for (wanted, codes), whole in zip(self.fields, self.whole, strict=True):
            table = models.contingency(groups, codes[rows], weights)
            good &= kept(wanted, np.pad(table, ((0, 0), (0, len(whole) - table.shape[1]))), whole)
        return good


def kept(wanted: Sensitive, table: Codes, whole: Codes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell of each row of a contingency table whether it is as diverse and as close to the whole as wanted.

    Diversity counts by entropy, which is never more than by different values.
    """
    digits = 1e-12  # so that groups just as diverse as wanted are
    good = models.entropy_diversity(table) >= wanted.diverse - digits
    away = models.closeness(table, ordered=bool(wanted.edges), whole=whole)
    return np.asarray(good & (away <= wanted.close + digits))


def group(
    publication: Publication, fields: Sequence[Encoded], sensitive: Mapping[str, Codes], weights: Codes
) -> Groups:
    """Group rows (with so many people each) as the publication says; refuse it if that cannot be done."""
    promise = Promise(publication, sensitive, weights)
    if publication.method in (Method.MONDRIAN, Method.LOCAL):
        if not promise.holds(np.arange(len(weights))):
            raise impossible(publication, sensitive, weights)
        space = Space(fields, weights, promise.holds)
        found = [_boxed(space, space.boxes())]
        if publication.method is Method.LOCAL:
            found.append(_boxed(space, _climbed(publication, space, promise)))
        return min(found, key=lambda made: made.loss)
    if publication.method is Method.MICROAGGREGATE:
        return _averaged(publication, fields, promise, weights)
    limit = int(publication.suppress * weights.sum())
    best = lattice.best(
        list(publication.quasi.values()), fields, weights, promise.fit, limit, monotone=not promise.fields
    )
    if best is None:
        raise impossible(publication, sensitive, weights)
    return Groups(best.groups, best.labels, best.loss)


def _boxed(space: Space, boxes: Sequence[Box]) -> Groups:
    of = np.empty(len(space.weights), dtype=np.int64)
    for place, box in enumerate(boxes):
        of[box.rows] = place
    loss = sum(box.loss(space.fields) * float(space.weights[box.rows].sum()) for box in boxes)
    return Groups(of, tuple(box.labels(space.fields) for box in boxes), loss / float(space.weights.sum()))


def _climbed(publication: Publication, space: Space, promise: Promise) -> list[Box]:
    """Let people climb; those whom no group took are joined by the last groups until they may be one."""
    made, left = climb.groups(list(publication.quasi.values()), space.fields, space.weights, promise.fit)
    while len(left) and not promise.holds(left):
        left = np.concatenate((left, made.pop()))
    return [space.box(rows) for rows in (*made, left) if len(rows)]


def _averaged(publication: Publication, fields: Sequence[Encoded], promise: Promise, weights: Codes) -> Groups:
    """Publish means; who is in a group that is too alike in what is sensitive is left out, if those are few enough."""
    points = np.stack([field.at[field.codes] for field in fields], axis=1)
    if weights.sum() < publication.k:
        raise impossible(publication, {}, weights)
    distinct, which = np.unique(points, axis=0, return_inverse=True)  # people who are alike stay together
    people = np.bincount(which.reshape(-1), weights).astype(np.int64)
    near, means, loss = microaggregate.groups(distinct, people, publication.k)
    of = near[which.reshape(-1)]
    good = promise.fit(of)
    left_out = int(weights[~good[of]].sum())
    if left_out > publication.suppress * weights.sum():
        fix = f"{left_out} people are in groups too alike: take mondrian, or allow {left_out / weights.sum():.3f}"
        raise RefusedPublication(f"{publication.name}.suppress", publication.suppress, fix)
    labels = tuple(tuple(number(round(value, DIGITS)) for value in mean) for mean in means.tolist())
    return Groups(np.where(good[of], of, -1), labels, loss)


def impossible(publication: Publication, sensitive: Mapping[str, Codes], weights: Codes) -> RefusedPublication:
    """Say that no grouping will do, and what the whole table as one group would allow."""
    people = int(weights.sum())
    fits = [f"k={people}"]
    for name, codes in sensitive.items():
        table = models.contingency(np.zeros_like(codes), codes, weights)
        fits.append(f"diverse={float(models.entropy_diversity(table)[0]):.2f} of {name}")
    asked: dict[str, Any] = {"k": publication.k, "suppress": publication.suppress}
    asked |= {name: (wanted.diverse, wanted.close) for name, wanted in publication.sensitive.items()}
    fix = f"even all {people} people as one group are too few or too alike; at most {', '.join(fits)} would fit"
    return RefusedPublication(publication.name, asked, fix)


def report(
    publication: Publication, fields: Sequence[Encoded], sensitive: Mapping[str, Codes], weights: Codes, made: Groups
) -> dict[str, Any]:
    """Report risk and utility, by the same measures, of the rows as they were and as they are published."""
    shown = made.of >= 0
    as_was = np.unique(np.stack([field.codes for field in fields], axis=1), axis=0, return_inverse=True)[1]
    after = np.unique(made.of[shown], return_inverse=True)[1]
    some = {name: codes[shown] for name, codes in sensitive.items()}
    return {
        "people": int(weights.sum()),
        "suppressed": int(weights[~shown].sum()),
        "before": _measures(publication, as_was.reshape(-1), sensitive, weights, 0.0),
        "after": _measures(publication, after, some, weights[shown], made.loss),
    }


def _measures(
    publication: Publication, groups: Codes, sensitive: Mapping[str, Codes], weights: Codes, loss: float
) -> dict[str, Any]:
    count = models.sizes(groups, weights)
    found: dict[str, Any] = {
        "groups": len(count),
        "k": int(count.min()),
        "prosecutor": asdict(risk.prosecutor(groups, weights)),
        "marketer": risk.marketer(groups, weights=weights),
        "loss": loss,
        "discernibility": int((count.astype(object) ** 2).sum()),  # Bayardo and Agrawal 2005
        "average_group": float(count.mean()) / publication.k,  # C_avg of LeFevre et al. 2006
    }
    for name, codes in sensitive.items():
        table = models.contingency(groups, codes, weights)
        ordered = bool(publication.sensitive[name].edges)
        found[name] = {
            "distinct": int(models.distinct_diversity(table).min()),
            "entropy": float(models.entropy_diversity(table).min()),
            "close": float(models.closeness(table, ordered=ordered).max()),
        }
    return found
