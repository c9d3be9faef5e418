"""Gather what a run left behind: in the lake, in the registry, in the state machine's history."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from clients.athena import ask
from demo import claims, endpoint, experiments, lake, people
from demo.account import Account
from demo.day import states
from demo.laptop import Laptop
from demo.sources import Source
from domain.tables import CURATED

TEST_SESSIONS = """
SELECT s.user_id, to_unixtime(s.started_at) FROM curated.sessions s
JOIN features.propensity p ON p.session_id = s.session_id WHERE p.split = 'test'
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: where, what was sent, what the stream took, the machine's execution, the bandit's rounds."""

    laptop: Laptop
    bucket: str
    source: Source
    account: Account
    accepted: int
    execution: dict[str, Any]
    bandit: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The execution's name, which the lake's folders of the run bear too."""
        return str(self.execution["name"])

    @property
    def output(self) -> dict[str, Any]:
        """What the state machine ended with."""
        found: dict[str, Any] = json.loads(self.execution["output"])
        return found


def gather(run: Run) -> dict[str, Any]:
    """Gather everything that the page shows and every claim that is made."""
    rows = {name: lake.count(table) for name, table in CURATED.items()}
    distinct = {name: lake.count(table, "DISTINCT event_id") for name, table in CURATED.items()}
    model = _model(run)
    effects, readouts = run.source.effects(), experiments.readouts(run.laptop)
    found = [
        *claims.about_records(run.account, run.accepted),
        *claims.about_curated(run.source.distinct_valid(), rows, distinct),
        *model.pop("claims"),
        *experiments.about_effects(effects, readouts),
        *(experiments.about_bandit(run.bandit) if run.bandit else ()),
    ]
    return {
        "run": run.name,
        "title": run.source.title,
        "made_at": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "account": _account(run, rows),
        "per_hour": lake.per_hour(list(CURATED.values())),
        "funnel": lake.funnel(),
        "session_minutes": lake.histogram(lake.SESSION_MINUTES, lake.MINUTES),
        "session_events": lake.histogram("events", lake.EVENTS),
        "outcome": _outcome(run),
        "experiments": {"effects": effects, "readouts": readouts, "bandit": run.bandit},
        "claims": [claim.as_row() for claim in found],
        "timeline": states(run.laptop, run.execution["executionArn"]),
        "stacks": lake.stacks(run.laptop),
        "tables": lake.tables(run.laptop),
        **model,
    }


def _account(run: Run, rows: dict[str, int]) -> dict[str, Any]:
    account = run.account
    return {
        "sent": run.accepted,
        "received": account.received,
        "landed": dict(account.landed),
        "quarantined": dict(account.quarantined),
        "duplicates": account.duplicates,
        "files": account.files,
        "bytes": account.bytes,
        "late": account.late,
        "balanced": account.balanced,
        "curated_rows": sum(rows.values()),
    }


def _outcome(run: Run) -> dict[str, Any]:
    registration = run.output.get("register", {}).get("Payload", {})
    reasons = [run.output["reason"]] if run.output.get("reason") else registration.get("reasons", [])
    return {"status": "Refused" if reasons else "Deployed", "reasons": reasons}


def _model(run: Run) -> dict[str, Any]:
    report = lake.read_json(run.laptop, run.bucket, f"training/{run.name}/validation/report.json")
    if report is None or not report["passed"]:
        return {"report": report, "predictions": [], "judged": {}, "claims": []}
    rows = endpoint.hold_out(run.laptop, run.bucket, run.name)
    difference = endpoint.largest_difference(run.laptop, rows)
    best = run.source.best(_test_sessions(run))
    auc = report["metrics"]["auc"]["value"]
    return {
        "report": report,
        "predictions": endpoint.predict(lake.output_of(run.laptop, "PredictUrl"), endpoint.varied(rows)),
        "judged": {"best": best, "endpoint_difference": difference},
        "claims": list(claims.about_model(auc, best["auc"] if best else None, difference)),
    }


def _test_sessions(run: Run) -> list[tuple[str, datetime]]:
    found = ask(TEST_SESSIONS)
    users = people.known(user for user, _ in found)
    return [(users[user], datetime.fromtimestamp(float(started), timezone.utc)) for user, started in found]
