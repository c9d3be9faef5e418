"""Declare what is published of a table: its questions, whose data it is, how much of one person counts, the budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from domain.schema import Column
from domain.tables import Table

EXACT = 1 << 62
"""Sums must stay below this, so that they fit into 64 bits with their noise."""

MORE_ROWS = 1000  # times as many as were guessed must still fit
MOST_QUESTIONS = 99
"""One transaction charges for all of them together: DynamoDB takes 100 actions, and one is the account's."""

MOST_BINS = 10_000
MOST_ROWS = 2_000
"""An answer is one item of DynamoDB, 400 KB at most; what does not fit would be charged for and never kept."""


class Kind(str, Enum):
    """What is asked of a column."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    VARIANCE = "variance"
    HISTOGRAM = "histogram"
    QUANTILE = "quantile"


class Accounting(str, Enum):
    """How losses add up: `zcdp` takes Gaussian noise and adds rho, `approximate` takes Laplace's and adds epsilon."""

    ZCDP = "zcdp"
    APPROXIMATE = "approximate"


SUMMED = (Kind.SUM, Kind.MEAN, Kind.VARIANCE)
BINNED = (Kind.HISTOGRAM, Kind.QUANTILE)


class RefusedRelease(ValueError):
    """A release is declared or asked for as it must not be; the message says which, and what would do."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field} is {value!r}: {fix}")
        self.field, self.value, self.fix = field, value, fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One figure, or one for each group.

    `lower` and `upper` are public: values beyond count as these.  `step` is what values are rounded to, since noise
    is exact on whole numbers alone.  A histogram or a quantile cuts the span into `bins`.  Groups need `keys` that are
    public (then each is answered, also an empty one), or else are found privately, the small ones left out.  `share`
    weighs the question among its dataset's.  `within` is the largest error, in the answer's unit, worth publishing.
    """

    name: str
    kind: Kind
    column: str | None = None
    lower: float = 0.0
    upper: float = 0.0
    step: float = 1.0
    bins: int = 0
    quantile: float = 0.5
    by: tuple[str, ...] = ()
    keys: tuple[tuple[str, ...], ...] | None = None
    share: float = 1.0
    within: float = math.inf

    @property
    def selects(self) -> bool:
        """Tell whether the groups themselves have to be found privately."""
        return bool(self.by) and self.keys is None

    @property
    def middle(self) -> float:
        """The public value about which means and variances are taken."""
        return (self.lower + self.upper) / 2

    @property
    def width(self) -> float:
        """How wide a bin is."""
        return (self.upper - self.lower) / self.bins

    @property
    def edges(self) -> tuple[float, ...]:
        """The bins' edges, `bins` + 1 of them; values below the first and from the last on have a bin each too."""
        return tuple(self.lower + place * self.width for place in range(self.bins + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What is published of one table: all that any release of it may ever tell costs at most (epsilon, delta).

    One subject counts with `groups_per_subject` groups of a question and `rows_per_subject` rows in each; which ones
    is drawn by a hash of `row`, the column that names a row.  `about` is a public guess at how many rows there are,
    from which the expected error is told.  `time` says which rows a day's release sees.
    """

    name: str
    table: Table
    row: str
    time: str
    rows_per_subject: int
    groups_per_subject: int = 1
    about: int
    epsilon: float
    delta: float
    questions: tuple[Question, ...]
    accounting: Accounting = Accounting.ZCDP

    @property
    def subject(self) -> str:
        """The column that names the person."""
        return str(self.table.subject)

    def groups(self, question: Question) -> int:
        """How many groups of a question one subject may be in."""
        if not question.by:
            return 1
        known = len(question.keys) if question.keys is not None else self.groups_per_subject
        return min(known, self.groups_per_subject)


def check(datasets: Iterable[Dataset]) -> None:
    """Refuse what is declared wrongly, at synth and before any job starts."""
    for dataset in datasets:
        _check_dataset(dataset)
        columns = {column.name: column for column in dataset.table.columns}
        for question in dataset.questions:
            _check_question(question, dataset, columns)


def _demand(holds: bool, field: str, value: object, fix: str) -> None:
    if not holds:
        raise RefusedRelease(field, value, fix)


def _check_dataset(dataset: Dataset) -> None:
    at, names = dataset.name, [question.name for question in dataset.questions]
    columns = {column.name for column in dataset.table.columns}
    _demand(dataset.table.subject is not None, f"{at}.table", dataset.table.full_name, "it names no subject to protect")
    for field in ("row", "time"):
        value = getattr(dataset, field)
        _demand(value in columns, f"{at}.{field}", value, f"name a column of {dataset.table.full_name}")
    for field in ("rows_per_subject", "groups_per_subject", "about"):
        value = getattr(dataset, field)
        _demand(isinstance(value, int) and value > 0, f"{at}.{field}", value, "it is a whole number above 0")
    fix = "it is a finite number above 0"
    _demand(math.isfinite(dataset.epsilon) and dataset.epsilon > 0, f"{at}.epsilon", dataset.epsilon, fix)
    fix = f"it must lie above 0 and below 1 / about = {1 / dataset.about:.1g}, or one person may be published whole"
    _demand(0 < dataset.delta < 1 / dataset.about, f"{at}.delta", dataset.delta, fix)
    _demand(bool(names) and len(set(names)) == len(names), f"{at}.questions", names, "give each a name of its own")
    fix = f"a dataset has {MOST_QUESTIONS} at most: declare another"
    _demand(len(names) <= MOST_QUESTIONS, f"{at}.questions", len(names), fix)


def _check_question(question: Question, dataset: Dataset, columns: Mapping[str, Column]) -> None:
    at = f"{dataset.name}.{question.name}"
    _demand(0 < question.share < math.inf, f"{at}.share", question.share, "it is a finite number above 0")
    _demand(question.within > 0, f"{at}.within", question.within, "it must be above 0")
    _demand(len(set(question.by)) == len(question.by), f"{at}.by", question.by, "name each column once")
    for name in question.by:
        fix = "group by a column of the table that names nobody"
        _demand(name in columns and name != dataset.subject, f"{at}.by", name, fix)
    for key in question.keys or ():
        _demand(len(key) == len(question.by), f"{at}.keys", key, f"a key has {len(question.by)} parts, as `by` has")
        _demand(all(isinstance(part, str) for part in key), f"{at}.keys", key, "write each part as text")
    if question.keys is not None:
        _demand(len(set(question.keys)) == len(question.keys) > 0, f"{at}.keys", question.keys, "name each key once")
    if question.kind is not Kind.COUNT:
        _check_column(question, dataset, columns, at)
    rows = len(question.keys or ((),)) * (question.bins + 2 if question.kind is Kind.HISTOGRAM else 1)
    _demand(rows <= MOST_ROWS, f"{at}.keys", rows, f"an answer has {MOST_ROWS:,} rows at most: take fewer keys or bins")


def _check_column(question: Question, dataset: Dataset, columns: Mapping[str, Column], at: str) -> None:
    column = columns.get(question.column or "")
    numeric = column is not None and column.kind in (int, float)
    _demand(numeric, f"{at}.column", question.column, f"name a column of numbers of {dataset.table.full_name}")
    span = (question.lower, question.upper)
    _demand(all(map(math.isfinite, span)) and span[0] < span[1], f"{at}.lower and upper", span, "bounds are public")
    if question.kind in BINNED:
        _demand(0 < question.quantile < 1, f"{at}.quantile", question.quantile, "it lies between 0 and 1")
        fix = f"say into how many bins the span is cut, {MOST_BINS:,} at most"
        _demand(isinstance(question.bins, int) and 1 <= question.bins <= MOST_BINS, f"{at}.bins", question.bins, fix)
        return
    _demand(0 < question.step < math.inf, f"{at}.step", question.step, "it is a finite number above 0")
    largest = max(abs(span[0]), abs(span[1]), span[1] - span[0]) / question.step
    largest = largest**2 if question.kind is Kind.VARIANCE else largest
    _demand(
        largest * dataset.about * MORE_ROWS < EXACT,
        f"{at}.step",
        question.step,
        "sums would not fit into 64 bits: take a larger",
    )


def canonical(question: Question) -> dict[str, Any]:
    """Spell a question so that two that ask the same are spelled the same: by what is asked, not how it is declared.

    >>> one = Question(name="a", kind=Kind.SUM, column="x", upper=5, quantile=0.9)
    >>> canonical(one) == canonical(Question(name="b", kind=Kind.SUM, column="x", upper=5.0, share=2.0))
    True
    """
    found: dict[str, Any] = {"kind": question.kind.value, "by": question.by}
    found["keys"] = None if question.keys is None else sorted(question.keys)
    if question.kind is not Kind.COUNT:
        found |= {"column": question.column, "lower": question.lower + 0.0, "upper": question.upper + 0.0}
    if question.kind in SUMMED:
        found["step"] = float(question.step)
    if question.kind in BINNED:
        found["bins"] = question.bins
    if question.kind is Kind.QUANTILE:
        found["quantile"] = question.quantile
    return found
