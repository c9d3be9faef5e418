"""Examples of a small world whose chances are known, for tests of the jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from domain.tables import PROPENSITY_FEATURES

KINDS = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def any_examples(users: int = 2_000, seed: int = 7, lean: float = 1.0) -> tuple[pa.Table, npt.NDArray[np.float64]]:
    """Make sessions of `users` shoppers, split by user, and each session's true chance of a purchase."""
    random = np.random.default_rng(seed)
    sessions = random.poisson(2, users) + 1
    user = np.repeat(np.arange(users), sessions)
    n = len(user)
    columns: dict[str, Any] = {
        "device": _sometimes(random, random.choice(["desktop", "mobile", "tablet"], n, p=[0.5, 0.4, 0.1])),
        "country": _sometimes(random, random.choice(["DE", "US", "GB", "FR"], n, p=[0.5, 0.3, 0.198, 0.002])),
        "hour": random.integers(0, 24, n),
        "weekday": random.integers(0, 7, n),
        "elapsed": np.round(random.lognormal(4.5, 1, n), 3),
        "page_views": random.poisson(1, n),
        "searches": random.poisson(1, n),
        "product_views": random.poisson(2, n),
        "carts": random.poisson(0.5, n),
        "distinct_products": random.poisson(1, n),
        "distinct_categories": random.poisson(1, n),
        "mean_price": _sometimes(random, np.round(random.lognormal(4, 0.7, n), 2)),
        "sessions_before": random.poisson(1, n),
        "purchases_before": random.poisson(0.3, n),
    }
    columns["cart_value"] = np.round(columns["carts"] * random.lognormal(4, 0.5, n), 2)
    columns["revenue_before"] = np.round(columns["purchases_before"] * random.lognormal(4, 0.5, n), 2)
    columns["days_since_session"] = _where(columns["sessions_before"] > 0, random.exponential(3, n))
    columns["days_since_purchase"] = _where(columns["purchases_before"] > 0, random.exponential(6, n))
    logit = (
        -2.6
        + 1.2 * lean * columns["carts"]
        + 0.5 * lean * columns["product_views"]
        - 0.4 * np.array([device == "mobile" for device in columns["device"]])
        + 0.3 * np.cos(2 * np.pi * (columns["hour"] - 19) / 24)
        + 0.4 * np.log(columns["elapsed"] / 90)
        + 0.6 * np.log1p(columns["purchases_before"])
        + random.normal(0, 0.3, users)[user]
    )
    chance = 1 / (1 + np.exp(-logit))
    splits = np.array(["train", "calibrate", "test"], dtype=object)[random.choice(3, users, p=[0.6, 0.15, 0.25])]
    keys = {
        "session_id": pa.array([f"s-{number:06d}" for number in range(n)]),
        "user_id": pa.array([f"u-{number}" for number in user]),
        "split": pa.array(splits[user]),
        "purchased": pa.array(random.random(n) < chance),
    }
    features = {column.name: pa.array(columns[column.name], KINDS[column.kind]) for column in PROPENSITY_FEATURES}
    return pa.table({**keys, **features}), chance


def write_channel(table: pa.Table, folder: Path, files: int = 3) -> Path:
    """Write rows as several files in folders named as Iceberg names them."""
    for number in range(files):
        place = folder / "features" / "propensity" / "data" / f"user_id_bucket={number}"
        place.mkdir(parents=True)
        pq.write_table(table.take(list(range(number, len(table), files))), place / f"{number}.parquet")
    return folder


def _sometimes(random: np.random.Generator, values: npt.NDArray[Any]) -> list[Any]:
    return _where(random.random(len(values)) > 0.05, values)


def _where(known: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> list[Any]:
    return [value if yes else None for yes, value in zip(known, values.tolist(), strict=True)]
