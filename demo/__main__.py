"""The newcomer's first command: the whole path, from a record to a prediction, on this machine."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from demo.bandit import Bandit
from demo.broker import KINESIS, client_of, known
from demo.day import commit_all, run_day, wait_until_landed
from demo.erasure import erase_people
from demo.evidence import Run, gather
from demo.faults import struck, switch_on
from demo.lake import output_of
from demo.laptop import DemoFailed, laptop_cloud
from demo.page import write_page
from demo.progress import Progress
from demo.publishing import Publishing
from demo.sources import Clicks, Simulation, Source

FOLDER = Path("build/demo")
STOPPED = 130  # as shells tell of Ctrl-C
SHOWN = ("device", "country", "product_views", "searches", "carts", "cart_value", "purchases_before")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; the exit code is 1 where a claim does not hold, 2 where a step fails, 130 where it is stopped."""
    asked = parse(arguments)
    try:
        return run(source_of(asked), known(asked.broker), with_faults=switched(asked.faults))
    except DemoFailed as failure:
        print(f"\nrivermill: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrivermill: stopped; nothing is left running", file=sys.stderr)
        return STOPPED


def switched(faults: str) -> bool:
    """Read the switch; DemoFailed says what may be written."""
    if faults not in {"", "on", "off"}:
        raise DemoFailed(f"FAULTS={faults}: write on, or leave it out")
    return faults == "on"


def run(source: Source, broker: str, *, with_faults: bool) -> int:
    """Deploy, send, run the day, judge and write the page; return the exit code."""
    progress = Progress()
    with ExitStack() as stack:
        with progress.step("start the laptop cloud"):
            laptop = stack.enter_context(laptop_cloud(FOLDER / "cloud"))
        with progress.step("cdk bootstrap"):
            laptop.bootstrap()
        with progress.step("cdk deploy --all"):
            laptop.cdk("deploy", "--all", "--require-approval", "never", "--concurrency", "4", "-c", f"broker={broker}")
        with progress.step(f"send {source.title}"):
            if with_faults:
                switch_on(laptop)
            sent = source.send(client_of(laptop, broker), framed=True)
        bucket = output_of(laptop, "Bucket")
        with progress.step("land every record, register every file"):
            account = wait_until_landed(laptop, bucket, sent.accepted)
            commit_all(laptop)
        with progress.step(f"run the day {source.day}"):
            bandit = Bandit(laptop, client_of(laptop, broker), output_of(laptop, "DecideUrl"))
            publishing = Publishing(laptop, source.day)
            execution = run_day(laptop, source.day, (bandit.on_ended, publishing.on_ended))
            played = bandit.played()
            commit_all(laptop)  # what the bandit brought, so that nothing moves while people are erased
        with progress.step("ask the lake and the endpoint, judge, draw"):
            evidence = gather(Run(laptop, bucket, source, account, sent.accepted, execution, played))
            if with_faults:
                evidence["faults"] = struck(laptop)
        with progress.step("end what is published, judge it"):
            published = publishing.gathered(FOLDER / "published")
            evidence |= published | {"claims": [*evidence["claims"], *published["claims"]]}
        with progress.step("erase ten people, check their certificates"):
            erased = erase_people(laptop, source, FOLDER / "certificates")
            evidence |= erased | {"claims": [*evidence["claims"], *erased["claims"]]}
    return report(evidence | {"seconds": progress.seconds}, progress)


def report(evidence: dict[str, Any], progress: Progress) -> int:
    """Write the page and its evidence, print what was found; the code is 0 only if every claim holds."""
    page = write_page(evidence, FOLDER)
    (FOLDER / "evidence.json").write_text(json.dumps(evidence, indent=1, default=str), encoding="utf-8")
    print(f"\nDone in {progress.total:.0f} s.")
    for item in evidence["predictions"]:
        seen = ", ".join(f"{name} {item['features'][name]}" for name in SHOWN)
        print(f"  P(order) = {item['probability']:.3f}  {seen}")
    for reason in evidence["outcome"]["reasons"]:
        print(f"  no new model: {reason}")
    for name, strikes in evidence.get("faults", ()):
        print(f"  fault {name} struck {strikes} times")
    for claim in evidence["claims"]:
        print(f"  {'✓' if claim['holds'] else '✗ BROKEN:'} {claim['claim']}: {claim['figure']}")
    print(f"\nThe page: {page}")
    return 0 if all(claim["holds"] for claim in evidence["claims"]) else 1


def source_of(asked: argparse.Namespace) -> Source:
    """Choose what to send: the simulated world, or the user's own clicks."""
    if asked.mapping and not asked.clicks:
        raise DemoFailed(f"MAPPING={asked.mapping} needs CLICKS=<file>: the clicks that it maps; see docs/replay.md")
    if not asked.clicks:
        yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
        return Simulation.of(asked.events, yesterday, FOLDER / "truth")
    if not asked.mapping:
        raise DemoFailed(f"CLICKS={asked.clicks} needs MAPPING=<file>: which column is which field; see docs/replay.md")
    return Clicks.read(Path(asked.clicks), Path(asked.mapping), FOLDER / "replay")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--events", default="200000", help="records to send")
    parser.add_argument("--clicks", default="", help="a CSV, NDJSON or Parquet file of your own to send instead")
    parser.add_argument("--mapping", default="", help="which of its columns is which field of which event")
    parser.add_argument("--broker", default=KINESIS, help="kinesis or kafka")
    parser.add_argument("--faults", default="", help="on: break things on the way")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):  # a kill, a terminal that is closed: no less orderly than Ctrl-C
        if signal.getsignal(ending) != signal.SIG_IGN:
            signal.signal(ending, signal.default_int_handler)
    sys.exit(main())
