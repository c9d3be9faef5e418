"""Write the part of the page that shows experiments: what was read, what is believed, what was planted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from demo.experiments import Readouts, interval, is_broken, planted, primary, verdict
from domain.experiment.bayesian.belief import Belief, Beta, Normal
from domain.experiment.page.figures import Effect, allocation, densities, forest
from domain.experiment.page.page import rows
from domain.experiment.regret import regret
from domain.experiments import RANKING

HEAD = ("experiment", "arm", "read: the design's interval", "probably better", "planted", "")
CAPTION = "Relative to the control: the point is what was read, the diamond what was planted. A tick is a guardrail."


def section(evidence: Mapping[str, Any]) -> str:
    """Render all that the page shows of experiments; nothing where nothing was planted and nothing read."""
    known = evidence.get("experiments") or {}
    effects, found, played = known.get("effects") or [], known.get("readouts", {}), known.get("bandit")
    read = {name: readout for name, readout in found.items() if "nothing" not in readout}
    if not (effects or read or played):
        return ""
    table = [_row(truth, primary(found.get(truth["experiment"], {}), truth["arm"])) for truth in effects]
    # A broken ratio stands above every result.
    ordered = sorted(read.values(), key=lambda readout: not is_broken(readout))
    parts = [
        "<h2>Experiments, and whether their truth was found</h2>",
        *(_box(readout) for readout in ordered if is_broken(readout)),
        rows(HEAD, table) if table else "",
        f'<div class="pictures">{_forest(effects, read)}</div>' if read else "",
        *(_box(readout) for readout in ordered if not is_broken(readout)),
        f'<div class="pictures">{"".join(_densities(readout) for readout in ordered)}</div>',
        _bandit(played) if played else "",
    ]
    return "".join(parts)


def _row(truth: Mapping[str, Any], finding: Mapping[str, Any] | None) -> tuple[str, ...]:
    belief = (finding or {}).get("belief")
    better = f"{belief['better']:.1%}" if belief else ""
    read = interval(finding) if finding else "nothing"
    return (truth["experiment"], truth["arm"], read, better, planted(truth), verdict(truth, finding))


def _box(readout: Mapping[str, Any]) -> str:
    alarm = " alarm" if is_broken(readout) else ""
    said = "".join(f"<li>{escape(line)}</li>" for line in readout["conclusions"])
    believed = "".join(f"<li>{escape(line)}</li>" for line in readout["believed"])
    also = f"<h3>What is believed</h3><ul>{believed}</ul>" if believed else ""
    name, ratio = escape(readout["experiment"]), _ratio(readout["ratio"])
    where = f"<p>Sample ratio: {ratio}. The whole page: <code>{escape(readout['page'])}</code></p>"
    return f'<section class="conclusions{alarm}"><h3>{name}</h3><ul>{said}</ul>{also}{where}</section>'


def _ratio(ratio: Mapping[str, Any]) -> str:
    return escape(ratio["why"]) or f"p = {ratio['p_value']:.2g} today, {ratio['anytime']:.2g} over all looks"


def _forest(effects: Iterable[Mapping[str, Any]], read: Readouts) -> str:
    known = {(truth["experiment"], truth["arm"]): truth["relative"] for truth in effects}
    bars = [
        _effect(name, finding, known)
        for name, readout in read.items()
        for finding in readout["findings"]
        if finding["valid"]["relative"] is not None
    ]
    drawn = forest(bars, "What each arm did, beside its control")
    caption = (
        "Relative to the control: the point is what was read, the diamond what was planted. A tick is a guardrail."
    )
    return f'<figure class="wide">{drawn}<figcaption>{caption}</figcaption></figure>'


def _effect(name: str, finding: Mapping[str, Any], known: Mapping[tuple[str, str], float]) -> Effect:
    once, valid = finding["reading"], finding["valid"]
    return Effect(
        label=f"{name}: {finding['outcome']} ({finding['role']})",
        arm=finding["arm"],
        relative=valid["relative"],
        once=(once["relative_low"], once["relative_high"]),
        valid=(valid["relative_low"], valid["relative_high"]),
        margin=None if finding["margin"] is None else -finding["margin"],
        truth=known.get((name, finding["arm"])) if finding["role"] == "primary" else None,
    )


def _densities(readout: Mapping[str, Any]) -> str:
    beliefs = {arm: _belief(known) for arm, known in readout["beliefs"].items()}
    if not beliefs:
        return ""
    outcome = readout["findings"][0]["outcome"]
    control = next(arm for arm in beliefs if arm not in {finding["arm"] for finding in readout["findings"]})
    drawn = densities(f"{readout['experiment']}: what is believed of {outcome}", beliefs, control)
    return f"<figure>{drawn}<figcaption>What the curves share is what is still open.</figcaption></figure>"


def _belief(known: Mapping[str, float]) -> Belief:
    return Beta(**known) if "a" in known else Normal(**known)


def _bandit(played: Mapping[str, Any]) -> str:
    counts = {arm: [float(each["chosen"].get(arm, 0)) for each in played["rounds"]] for arm in played["worth"]}
    beliefs: dict[str, Belief] = {arm: Beta(1 + hits, 1 + n - hits) for arm, (n, hits) in played["counted"].items()}
    rounds = [f"round {number + 1}" for number in range(len(played["rounds"]))]
    title = "ranking: what is believed of each arm"
    pictures = (
        (allocation("ranking: who got which arm", rounds, counts, RANKING.control), "By round of decisions."),
        (
            densities(title, beliefs, RANKING.control, played["worth"]),
            "The chance that something is put into the cart.",
        ),
    )
    drawn = "".join(f"<figure>{one}<figcaption>{caption}</figcaption></figure>" for one, caption in pictures)
    box = "".join(f"<li>{escape(line)}</li>" for line in _said(played, {a: sum(n) for a, n in counts.items()}, beliefs))
    return f'<section class="conclusions"><h3>ranking</h3><ul>{box}</ul></section><div class="pictures">{drawn}</div>'


def _said(played: Mapping[str, Any], units: Mapping[str, float], beliefs: Mapping[str, Belief]) -> Iterable[str]:
    worth, shares = played["worth"], played["shares"]
    arms = ", ".join(f"{arm} {value:.0%}" for arm, value in worth.items())
    decided, best, favourite = sum(units.values()), max(worth.values()), max(shares, key=shares.get)
    yield (
        f"{decided:,.0f} shoppers got their ranking over HTTP while the day ran, in {len(played['rounds'])} rounds, "
        f"and what came of it was put on the stream. Planted was how often something goes into the cart: {arms}."
    )
    found = "the truth was found" if worth[favourite] == best else "the best arm was not found yet"
    yield f"The bandit now gives {favourite} {shares[favourite]:.1%} of the units: {found}."
    lost = regret(units, beliefs)
    true = sum(count * (best - worth[arm]) for arm, count in units.items())
    equal = decided * (best - sum(worth.values()) / len(worth))
    yield (
        "By what it has seen, not having chosen the best arm each time is expected to have cost "
        f"{lost.expected:.1f} carts, with {lost.level:.0%} at most {lost.at_most:.1f}. By what was planted it was "
        f"{true:.1f}, and equal shares would have lost {equal:.1f}."
    )
