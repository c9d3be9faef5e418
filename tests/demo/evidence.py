"""Evidence of a demo that could have been, for tests of the page."""

from __future__ import annotations

from typing import Any


def any_estimate(value: float = 0.8) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def any_report() -> dict[str, Any]:
    curve = [[i / 20, (i / 20) ** 0.4] for i in range(21)]
    return {
        "passed": True,
        "reasons": [],
        "metrics": {"auc": any_estimate(0.83), "log_loss": any_estimate(0.35), "brier": any_estimate(0.11)},
        "curves": {
            "roc": curve,
            "calibration": [{"mean_score": i / 20, "rate": i / 20 + 0.01, "n": 400 - 20 * i} for i in range(1, 12)],
        },
        "slices": [
            {"slice": name, "value": value, "n": 900, "auc": any_estimate(0.82)}
            for name, value in (("device", "desktop"), ("device", "mobile"), ("country", "DE"), ("returning", "yes"))
        ],
        "importance": [
            {"feature": name, "mean": 0.03 / (place + 1), "std": 0.002}
            for place, name in enumerate(("carts", "product_views", "sessions_before", "device", "hour"))
        ],
    }


def any_evidence(**changes: Any) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "title": "200,000 records of a simulated shop",
        "run": "daily-2026-11-21",
        "made_at": "2026-11-22 09:00 UTC",
        "seconds": {"start the laptop cloud": 3.1, "deploy": 61.0},
        "account": {
            "sent": 200_000,
            "received": 200_050,
            "landed": {"page_view": 120_000, "product_view": 60_000, "purchase": 18_900},
            "quarantined": {"not_json": 300, "missing_field": 800},
            "duplicates": 50,
            "files": 120,
            "bytes": 120 * 40 * 1024,
            "late": 1_234,
            "balanced": True,
            "curated_rows": 197_000,
        },
        "per_hour": [
            (f"2026-11-{day:02d} {hour:02d}:00:00", 500 + 40 * hour) for day in range(8, 22) for hour in range(24)
        ],
        "funnel": [
            ("Sessions", 12_000),
            ("Looked at a product", 9_000),
            ("Put one into the cart", 3_000),
            ("Ordered", 1_500),
        ],
        "session_minutes": [("0-1", 1_000), ("1-2", 3_000), ("2-5", 6_000), ("5-10", 2_000)],
        "session_events": [("1-2", 500), ("2-3", 900), ("3-5", 4_000), ("5-8", 5_000)],
        "report": any_report(),
        "judged": {
            "best": {"auc": 0.85, "roc": [[i / 20, (i / 20) ** 0.35] for i in range(21)]},
            "endpoint_difference": 1e-16,
        },
        "outcome": {"status": "Deployed", "reasons": []},
        "experiments": {"effects": [], "readouts": {}, "bandit": any_rounds()},
        "claims": [
            {"claim": "received = landed + quarantined + duplicate", "figure": "200,050 = 200,050", "holds": True}
        ],
        "predictions": [{"probability": 0.31, "features": {"device": "mobile", "carts": 1, "mean_price": None}}],
        "timeline": [
            {"name": name, "started": 10.0 * place, "ended": 10.0 * place + 9, "succeeded": True}
            for place, name in enumerate(("Curate", "Sessions", "Features", "Dataset", "Train", "Validate"))
        ],
        "stacks": [
            {
                "name": "Rivermill-Lake",
                "status": "CREATE_COMPLETE",
                "resources": 42,
                "outputs": [("Bucket", "lake-1")],
                "tables": ["raw.page_view"],
            }
        ],
        "tables": [
            {
                "name": "raw.page_view",
                "doc": "A user opened a page.",
                "columns": [{"name": "page", "type": "string", "doc": "Path of the page."}],
                "rows": 120_000,
                "files": 44,
                "snapshot": "123",
                "location": "s3://lake/raw/page_view",
            }
        ],
    }
    return evidence | changes


def any_truth(experiment: str, arm: str, control: float, share: float) -> dict[str, Any]:
    """Say what an arm truly does, as the world's ledger does."""
    shoppers = {"shoppers": 4_000, "control": control, "share": share}
    return {"experiment": experiment, "arm": arm, "pull": 0.5, **shoppers, "relative": share / control - 1}


def any_rounds() -> dict[str, Any]:
    """Play a bandit that could have been."""
    chosen = ({"popular": 35, "recent": 31, "personal": 34}, {"popular": 4, "recent": 9, "personal": 87})
    shares = (dict.fromkeys(chosen[0], 1 / 3), {"popular": 0.03, "recent": 0.07, "personal": 0.9})
    sent = {"popular": [39, 6], "recent": [40, 11], "personal": [121, 66]}
    return {
        "rounds": [{"shares": one, "chosen": other, "off": 1e-16} for one, other in zip(shares, chosen, strict=True)],
        "sent": sent,
        "counted": {arm: [pulls, float(hits)] for arm, (pulls, hits) in sent.items()},
        "shares": {"popular": 0.02, "recent": 0.02, "personal": 0.96},
        "worth": {"popular": 0.15, "recent": 0.30, "personal": 0.55},
    }
