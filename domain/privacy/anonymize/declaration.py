"""Declare how a table is published with each person in a group: every column's part, and how alike groups are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from domain.privacy.anonymize.hierarchy import Hierarchy, Numbers
from domain.schema import Column, Privacy
from domain.tables import Table


class Method(str, Enum):
    """How values are made coarser.

    `local` does it for each group as it needs: by `mondrian`, which cuts boxes, or by climbing the hierarchies,
    whichever loses less.  `full_domain` does it for whole columns alike, and `microaggregate` puts the mean of near
    people in the place of their numbers.
    """

    LOCAL = "local"
    MONDRIAN = "mondrian"
    FULL_DOMAIN = "full_domain"
    MICROAGGREGATE = "microaggregate"


class Cover(str, Enum):
    """What hides a column whose values say nothing of a group: leave it out, mask it, or average it in each group."""

    DROP = "drop"
    MASK = "mask"
    AVERAGE = "average"


class RefusedPublication(ValueError):
    """A publication is declared or turns out as it must not be; the message says which, and what would do."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field} is {value!r}: {fix}")
        self.field, self.value, self.fix = field, value, fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitive:
    """What must not be learned of a person: each group shows `diverse` values of it, spread within `close` of all's.

    Numbers are cut at `edges` to be compared; without edges each value is one by itself.
    """

    diverse: float = 1.0
    close: float = 1.0
    edges: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A table's newest row of each person, published in groups of at least `k` people.

    Each column of the table is in one of `quasi` (what others may know, with its hierarchy), `sensitive`, `covered`
    or `kept`.  At most the share `suppress` of the people may be left out.
    """

    name: str
    table: Table
    newest: str
    k: int
    quasi: Mapping[str, Hierarchy] = field(hash=False)
    sensitive: Mapping[str, Sensitive] = field(hash=False, default_factory=dict)
    covered: Mapping[str, Cover] = field(hash=False, default_factory=dict)
    kept: tuple[str, ...] = ()
    suppress: float = 0.01
    method: Method = Method.LOCAL


def check(publications: Iterable[Publication]) -> None:
    """Refuse what is declared wrongly, at synth and before any job starts."""
    for publication in publications:
        at = publication.name
        whole = isinstance(publication.k, int)
        _demand(whole and publication.k > 1, f"{at}.k", publication.k, "a group of one is one person: take 2 or more")
        _demand(0 <= publication.suppress < 1, f"{at}.suppress", publication.suppress, "it is a share below 1")
        _demand(bool(publication.quasi), f"{at}.quasi", publication.quasi, "say what others may know of a person")
        known = {column.name: column for column in publication.table.columns}
        _demand(publication.newest in known, f"{at}.newest", publication.newest, "name a column with a time")
        for name, hierarchy in publication.quasi.items():
            _demand(not hierarchy.fault, f"{at}.quasi[{name!r}]", hierarchy, str(hierarchy.fault))
        for name in _named(publication):
            _demand(name in known, at, name, f"{publication.table.full_name} has no such column")
        for column in known.values():
            _check_column(publication, column)
        _check_sensitive(publication)
        if publication.method is Method.MICROAGGREGATE:
            for name, hierarchy in publication.quasi.items():
                _demand(isinstance(hierarchy, Numbers), f"{at}.{name}", "a tree", "only numbers have a mean")


def _named(publication: Publication) -> list[str]:
    return [*publication.quasi, *publication.sensitive, *publication.covered, *publication.kept]


def _demand(holds: bool, field: str, value: object, fix: str) -> None:
    if not holds:
        raise RefusedPublication(field, value, fix)


def _check_column(publication: Publication, column: Column) -> None:
    at, times = f"{publication.name}.{column.name}", _named(publication).count(column.name)
    said = column.field.privacy or Privacy.PLAIN
    _demand(times == 1, at, said.value, _where(column) if not times else "give the column one part, not several")
    if said is Privacy.IDENTIFIER or column.name == publication.table.subject:
        hidden = publication.covered.get(column.name) in (Cover.DROP, Cover.MASK)
        _demand(hidden, at, said.value, "whoever it names is named: drop it or mask it")
    if said is Privacy.QUASI_IDENTIFIER:
        gone = publication.covered.get(column.name) is Cover.DROP
        _demand(column.name in publication.quasi or gone, at, said.value, "give it a hierarchy in `quasi`, or drop it")
    if said is Privacy.SENSITIVE:
        _demand(column.name not in publication.kept, at, said.value, "list it in `sensitive`, or cover it")
    if isinstance(publication.quasi.get(column.name), Numbers):
        _demand(column.kind in (int, float), at, column.kind.__name__, "numbers have ranges; give it a Tree")
    if publication.covered.get(column.name) is Cover.AVERAGE:
        _demand(column.kind in (int, float), at, column.kind.__name__, "only numbers have an average")


def _where(column: Column) -> str:
    if column.field.privacy is Privacy.QUASI_IDENTIFIER:
        return "others may know it, so give it a hierarchy in `quasi`, or drop it"
    return "say what becomes of it: quasi, sensitive, covered or kept"


def _check_sensitive(publication: Publication) -> None:
    for name, wanted in publication.sensitive.items():
        at = f"{publication.name}.{name}"
        _demand(wanted.diverse >= 1, f"{at}.diverse", wanted.diverse, "a group always has one value")
        fix = f"groups of {publication.k} cannot be sure to hold so many: raise k, or ask for less"
        _demand(wanted.diverse <= publication.k, f"{at}.diverse", wanted.diverse, fix)
        _demand(0 < wanted.close <= 1, f"{at}.close", wanted.close, "a distance lies above 0 and is at most 1")
        rising = all(map(math.isfinite, wanted.edges)) and all(low < high for low, high in pairwise(wanted.edges))
        _demand(rising, f"{at}.edges", wanted.edges, "edges are finite and go up")
