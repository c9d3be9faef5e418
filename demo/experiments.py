"""Ask what experiments found, and hold it against what was planted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from demo.claims import Claim
from demo.laptop import DemoFailed, Laptop

REPORT = "rivermill-report"
SIGMAS = 4.0  # a sound reading lies farther from the truth once in 16,000 times
EXACT = 1e-12

Readouts = Mapping[str, Mapping[str, Any]]


def readouts(laptop: Laptop) -> dict[str, Any]:
    """Ask the deployed function for every readout."""
    answer = laptop.client("lambda").invoke(FunctionName=REPORT, Payload=b"{}")
    body: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise DemoFailed(f"{REPORT} failed: {body.get('errorMessage', body)}")
    found: dict[str, Any] = body["readouts"]
    return found


def primary(readout: Mapping[str, Any], arm: str) -> Mapping[str, Any] | None:
    """Find what an arm did to the primary outcome, if it could be read."""
    for finding in readout.get("findings", ()):
        if (finding["role"], finding["arm"]) == ("primary", arm):
            return finding if finding["reading"]["effect"] is not None else None
    return None


def about_effects(effects: Iterable[Mapping[str, Any]], found: Readouts) -> Iterator[Claim]:
    """Claim that what was planted was read, as nearly as chance allows; of too few shoppers nothing can be read."""
    for truth in effects:
        readout = found.get(truth["experiment"], {})
        finding = primary(readout, truth["arm"])
        claim = f"{truth['experiment']}: the effect that was planted is read"
        if finding:
            off = finding["reading"]["effect"] - (truth["share"] - truth["control"])
            near = abs(off) <= SIGMAS * finding["reading"]["standard_error"]
            yield Claim(claim, f"{interval(finding)}, planted {planted(truth)}", near)
        elif truth["shoppers"] and "findings" not in readout:
            yield Claim(claim, readout.get("nothing", "nothing was read"), holds=False)


def planted(truth: Mapping[str, Any]) -> str:
    """Write what was planted, relative where it can be."""
    relative = truth["relative"]
    return f"{truth['share'] - truth['control']:+.3g}" if relative is None else f"{relative:+.1%}"


def about_bandit(played: Mapping[str, Any]) -> Iterator[Claim]:
    """Claim that decisions are drawn as published, rewards counted once, and the best arm is found."""
    off = max(each["off"] for each in played["rounds"])
    decided = sum(pulls for pulls, _ in played["sent"].values())
    yield Claim(
        "ranking: each decision's propensity is its arm's published share",
        f"{decided:,} decisions, largest difference {off:.0e}",
        off <= EXACT,
    )
    same = all([int(n), round(total)] == played["sent"][arm] for arm, (n, total) in played["counted"].items())
    counted = sum(int(n) for n, _ in played["counted"].values())
    yield Claim("ranking: each reward is counted once", f"{counted:,} of {decided:,}", same)
    best, shares = max(played["worth"], key=played["worth"].get), played["shares"]
    yield Claim(
        "ranking: the arm that is best gets most of the units",
        f"{best} gets {shares[best]:.1%}",
        shares[best] == max(shares.values()),
    )


def verdict(truth: Mapping[str, Any], finding: Mapping[str, Any] | None) -> str:
    """Say in words whether the truth was found."""
    if finding is None:
        return "not read yet"
    valid = finding["valid"]
    low, high = valid["relative_low"], valid["relative_high"]
    shown = finding["verdict"] in ("better", "worse")
    if finding["verdict"] == "not to be trusted":
        return "the sample ratio is broken"
    if low is None or truth["relative"] is None:
        return "too few to say"
    holds = low <= truth["relative"] <= high
    if truth["relative"] == 0:
        return "a false alarm" if shown else "the truth was found: nothing where there is nothing"
    if not holds:
        return "the interval misses the truth"
    return "the truth was found" if shown else "not shown yet; the interval holds the truth"


def is_broken(readout: Mapping[str, Any]) -> bool:
    """Whether nothing of a readout is to be believed."""
    return any(finding["verdict"] == "not to be trusted" for finding in readout["findings"])


def interval(finding: Mapping[str, Any]) -> str:
    """Write an effect with the design's interval, relative where it can be."""
    valid = finding["valid"]
    if valid["relative"] is None or valid["relative_low"] is None:
        return f"{valid['effect']:+.3g} of {finding['outcome']}"
    low, high = valid["relative_low"], valid["relative_high"]
    return f"{valid['relative']:+.1%} ({low:+.1%} to {high:+.1%}) {finding['outcome']}"
