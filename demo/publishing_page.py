"""Write the page's part about what was published: who could be found before and after, and answers beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from clients.privacy.anonymize import measures
from domain.experiment.page.page import rows

HEAD = ("question", "of", "answer", "stated error", "truth within the bounds", "", "truth of all rows")


def section(evidence: Mapping[str, Any]) -> str:
    """Render all that was published; nothing if nothing was."""
    told = evidence.get("published") or {}
    if not told:
        return ""
    return f"<h2>Published, with nobody to be found in it</h2>{_table(told['table'])}{_answers(told['answers'])}"


def _table(table: Mapping[str, Any]) -> str:
    if "refused" in table:
        return f"<p>No table was published: {escape(table['refused'])}</p>"
    report, checked = table["report"], table["checked"]
    body = [[name, f"{before:,.5g}", f"{after:,.5g}"] for name, before, after in measures(report)]
    counted = [[field, *_promise(table, field)] for field in checked]
    return (
        f"<h3>The table <code>{escape(table['name'])}</code>, anonymized</h3>"
        f"<p>{report['people']:,} people, {report['suppressed'] + report['left_out']:,} of them left out. "
        f"<code>make anonymize PUBLICATION={escape(table['name'])}</code></p>"
        f"{rows(('', 'as it was', 'as published'), body)}"
        "<p>Counted again from the files by DuckDB, which knows nothing of how groups were made:</p>"
        f"{rows(('sensitive', 'k', 'l, by entropy', 't'), counted)}"
    )


def _promise(table: Mapping[str, Any], field: str) -> Iterator[str]:
    found, wanted = table["checked"][field], table["wanted"][field]
    yield f"{found['k']}, at least {table['k']}"
    yield f"{found['diverse']:.3f}, at least {wanted['diverse']:g}"
    yield f"{found['close']:.3f}, at most {wanted['close']:g}"


def _answers(answers: Mapping[str, Any]) -> str:
    before, after, again = answers["left"]
    name, epsilon = escape(answers["dataset"]), f"{answers['epsilon']:g}"
    return (
        f"<h3>The table <code>{name}</code>, in private answers</h3>"
        f"<p>At epsilon {epsilon} for all rows of one person. {before:g} of {answers['of']:g} was left, then "
        f"{after:g}; the same asked again left {again:g}. More was refused: {escape(answers['refusal'])}. "
        "Of a person's rows only so many count, and no value beyond its bounds: to that truth noise is added. "
        f"<code>make release DATASET={name} EPSILON={epsilon}</code></p>"
        f"{rows(HEAD, [_answer(row) for row in answers['rows']])}"
    )


def _answer(row: Mapping[str, Any]) -> tuple[str, ...]:
    known = row["answer"] is not None
    return (
        row["question"],
        row["of"],
        _figure(row["answer"]) if known else "too few to tell",
        f"±{row['error']:,.4g}" if known else "",
        _figure(row["bounded"]),
        ("within" if row["within"] else "farther") if known else "",
        _figure(row["truth"]),
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"
