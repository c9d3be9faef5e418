"""Write the page of a demo: what came in, what became of it, what was learned and how it was run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from demo import erasure, experiment_page, publishing_page
from demo.pictures import Evidence, draw, thousands
from domain.experiment.page.page import STYLE, rows

TEMPLATE = Path(__file__).with_name("page.html")

CAPTIONS = {
    "account": "Summed from the receipts that consumers write: received = landed + quarantined + duplicate.",
    "events": "Rows of data files, by event, as the receipts count them.",
    "traffic": "By the time of the event, from the curated tables, asked through Athena.",
    "funnel": "Sessions that came at least this far.",
    "sessions": "Sessions are cut where a user pauses for 30 minutes.",
    "roc": "Scored on users that training never saw.",
    "calibration": "Each point is a bin of scores: what was predicted against what happened.",
    "slices": "Points are the model's, bars their 95 % intervals; the dotted line is the whole.",
    "importance": "Mean and spread over repeated shuffles of the hold-out.",
    "timeline": "From the execution history of the state machine.",
}


def write_page(evidence: Evidence, folder: Path) -> Path:
    """Write `index.html` and its pictures into `folder`; return the page's path."""
    names = draw(evidence, folder / "pictures")
    page = folder / "index.html"
    page.write_text(render(evidence, names), encoding="utf-8")
    return page


def render(evidence: Evidence, pictures: Sequence[str]) -> str:
    """Render the whole page."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        style=STYLE.read_text(encoding="utf-8"),
        subtitle=escape(_subtitle(evidence)),
        cards="".join(_cards(evidence)),
        pictures="".join(_figure(name) for name in pictures),
        refusal=_refusal(evidence),
        experiments=experiment_page.section(evidence),
        judgements=_judgements(evidence),
        predictions=_predictions(evidence),
        published=publishing_page.section(evidence),
        erased=erasure.section(evidence),
        stacks=_stacks(evidence),
        tables="".join(_table(table) for table in evidence["tables"]),
        steps=rows(["step", "seconds"], [[name, f"{took:.1f}"] for name, took in evidence["seconds"].items()]),
    )


def _subtitle(evidence: Evidence) -> str:
    return f"{evidence['title']} · run {evidence['run']} · {evidence['made_at']}"


def _cards(evidence: Evidence) -> Iterable[str]:
    account, judged, report = evidence["account"], evidence["judged"], evidence["report"]
    yield _card(thousands(account["received"]), "records received", "accounted for" if account["balanced"] else "LOST")
    yield _card(
        thousands(account["curated_rows"]), "distinct events curated", f"{thousands(account['late'])} came late"
    )
    mean = account["bytes"] / max(1, account["files"]) / 1024
    yield _card(thousands(account["files"]), "data files landed", f"of {mean:,.0f} KiB on average")
    yield _card(thousands(evidence["funnel"][0][1]), "sessions", f"{evidence['funnel'][-1][1]:,} with an order")
    if report:
        auc = report["metrics"]["auc"]["value"]
        best = judged.get("best")
        of_best = (
            f"{auc / best['auc']:.1%} of the best possible"
            if best
            else f"95 % interval {report['metrics']['auc']['low']:.3f} to {report['metrics']['auc']['high']:.3f}"
        )
        yield _card(f"{auc:.3f}", "AUC on unseen users", of_best)
    if judged:
        yield _card(f"{judged['endpoint_difference']:.0e}", "endpoint against offline", "largest difference")


def _card(figure: str, name: str, note: str) -> str:
    return f'<div class="card"><b>{escape(figure)}</b><span>{escape(name)}</span><i>{escape(note)}</i></div>'


def _figure(name: str) -> str:
    wide = " wide" if name in {"traffic", "timeline"} else ""
    caption = escape(CAPTIONS[name])
    picture = f'<img src="pictures/{name}.svg" alt="{escape(name)}: {caption}">'
    return f'<figure class="{name}{wide}">{picture}<figcaption>{caption}</figcaption></figure>'


def _refusal(evidence: Evidence) -> str:
    if not evidence["outcome"]["reasons"]:
        return ""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in evidence["outcome"]["reasons"])
    return f'<section class="refusal"><h2>No new model was deployed</h2><ul>{reasons}</ul></section>'


def _judgements(evidence: Evidence) -> str:
    judged = [[item["claim"], item["figure"], "holds" if item["holds"] else "BROKEN"] for item in evidence["claims"]]
    return rows(["claim", "figure", ""], judged)


def _predictions(evidence: Evidence) -> str:
    if not evidence["predictions"]:
        return "<p>The endpoint was not asked.</p>"
    names = list(evidence["predictions"][0]["features"])
    asked = [
        [f"{item['probability']:.4f}", *("" if value is None else str(value) for value in item["features"].values())]
        for item in evidence["predictions"]
    ]
    return rows(["P(order)", *names], asked)


def _stacks(evidence: Evidence) -> str:
    parts = []
    for stack in evidence["stacks"]:
        outputs = "".join(f"<li>{escape(key)}: <code>{escape(value)}</code></li>" for key, value in stack["outputs"])
        links = " ".join(f'<a href="#{name}">{name}</a>' for name in stack["tables"])
        parts.append(
            f'<div class="stack"><h3>{escape(stack["name"])}</h3><p>{escape(stack["status"])}, '
            f"{stack['resources']} resources</p><ul>{outputs}</ul><p>{links}</p></div>"
        )
    return "".join(parts)


def _table(table: Mapping[str, Any]) -> str:
    columns = rows(["column", "type", "meaning"], [[c["name"], c["type"], c["doc"]] for c in table["columns"]])
    return (
        f'<details id="{escape(table["name"])}"><summary><code>{escape(table["name"])}</code> '
        f"{thousands(table['rows'])} rows in {table['files']} files</summary><p>{escape(table['doc'])}</p>"
        f"<p>snapshot <code>{table['snapshot']}</code> at <code>{escape(table['location'])}</code></p>"
        f"{columns}</details>"
    )
