"""`python -m clients.readout --experiment NAME`: read an experiment from the lake, tell it and write its page."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from clients.athena import QueryRefused, ask
from clients.readout.table import lines
from domain.experiment.page.page import files
from domain.experiment.readout import NoStatistics, Readout, read
from domain.experiment.statistics import answered, question, snapshots
from domain.experiments import NotDeclared, declared

RUN = 'aws glue start-job-run --job-name rivermill-readout --arguments \'{"--day":"YYYY-MM-DD","--run":"readout"}\''


def main(arguments: Sequence[str] | None = None) -> int:
    """Read it; the exit code is 2 where it cannot be read, 1 where its sample ratio is broken."""
    parser = ArgumentParser(prog="clients.readout", description=__doc__, allow_abbrev=False)
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--folder", type=Path, default=Path("build/readout"))
    asked = parser.parse_args(arguments)
    try:
        experiment = declared(asked.experiment)
        readout = read(experiment, snapshots(answered(ask(question(experiment.name)))))
    except NoStatistics as nothing:
        print(f"rivermill: {nothing}; sum a day up with\n  {RUN}", file=sys.stderr)
        return 2
    except (NotDeclared, QueryRefused, BotoCoreError, ClientError) as refusal:
        print(f"rivermill: {refusal}", file=sys.stderr)
        return 2
    print("\n".join(lines(readout)))
    print(write(readout, asked.folder / experiment.name))
    return int(readout.ratio.is_broken)


def write(readout: Readout, folder: Path) -> Path:
    """Write all files of a readout into `folder`; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files(readout).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "page.html"


if __name__ == "__main__":
    sys.exit(main())
