"""What may be published under differential privacy.  To add one, declare it here and list it in RELEASES."""

from __future__ import annotations

from domain.events import DEVICES
from domain.privacy.release.declaration import Dataset, Kind, Question
from domain.tables import SESSIONS

SHOPPING = Dataset(
    name="shopping",
    table=SESSIONS,
    row="session_id",
    time="started_at",
    rows_per_subject=5,
    groups_per_subject=2,
    about=20_000,
    epsilon=4.0,
    delta=1e-6,
    questions=(
        Question(name="sessions", kind=Kind.COUNT),
        Question(name="revenue", kind=Kind.SUM, column="revenue", upper=500.0, step=0.01),
        Question(name="mean_revenue", kind=Kind.MEAN, column="revenue", upper=500.0, step=0.01),
        Question(name="spread_of_events", kind=Kind.VARIANCE, column="events", upper=60.0),
        Question(name="events", kind=Kind.HISTOGRAM, column="events", upper=60.0, bins=12),
        Question(name="long_session", kind=Kind.QUANTILE, column="events", upper=60.0, bins=60, quantile=0.9),
        Question(name="by_device", kind=Kind.COUNT, by=("device",), keys=tuple((name,) for name in DEVICES)),
        Question(name="by_country", kind=Kind.MEAN, column="events", upper=60.0, by=("country",), share=2.0),
    ),
)

RELEASES: dict[str, Dataset] = {dataset.name: dataset for dataset in (SHOPPING,)}
