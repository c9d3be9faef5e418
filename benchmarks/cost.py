"""What ingestion costs by each way in, at 10,000 events a second and over all rates: `python -m benchmarks cost`.

`--rate` and `--stage` vary it.  Nothing is measured here: `stacks.fronts` computes it from the price list.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import bars
from benchmarks.bars import REPORT, STRICT, Bar
from stacks.config import CONFIGS, PROVISIONED, Config
from stacks.cost import PRICED_ON
from stacks.fronts import CAPACITIES, OPEN, SIGNED, WAYS, arithmetic, cost, reigns, table

RATE = 10_000
WANTED = 0.005
"""USD per million events of framed producers at that rate."""


def bar(config: Config) -> Bar:
    """Hold the framed producers on a provisioned stream against what is wanted."""
    figure = cost(config, WAYS[0], RATE, PROVISIONED).total
    return Bar("framed producers at 10,000 events/s, provisioned", figure, WANTED, at_least=False, unit="USD/million")


def draw(config: Config) -> None:
    """Draw each way's price over the rate."""
    import matplotlib as mpl  # noqa: PLC0415  # only here

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    rates = sorted({int(1.25**step) for step in range(53)})
    for way, colour in zip(WAYS, plt.cm.tab10.colors, strict=False):
        for capacity, style in zip(CAPACITIES, ("-", ":"), strict=True):
            prices = [cost(config, way, rate, capacity).total for rate in rates]
            axes.plot(rates, prices, style, color=colour, label=f"{way.name}, {capacity}")
    axes.axhline(WANTED, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="events a second", ylabel="USD per million events")
    axes.legend(fontsize=7)
    REPORT.mkdir(parents=True, exist_ok=True)
    figure.savefig(REPORT / "cost_by_rate.png", dpi=120)
    plt.close(figure)


def main(arguments: list[str]) -> int:
    """Print the tables, draw the plot, keep the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--stage", choices=CONFIGS, default="prod")
    parser.add_argument(STRICT, action="store_true")
    asked = parser.parse_args(arguments)
    config = CONFIGS[asked.stage]
    print(f"USD per million events of {config.expected.event_bytes:,} bytes at {asked.rate:,} a second, list prices of")
    print(f"{PRICED_ON}, us-east-1\n\n{table(config, asked.rate)}\n\n{arithmetic(config, asked.rate)}\n")
    for title, ways in (("with AWS credentials", SIGNED), ("without", OPEN)):
        for first, name, capacity in reigns(config, ways):
            print(f"cheapest {title} from {first:,} events/s: {name}, {capacity}")
    draw(config)
    return bars.report("cost", [bar(config)], {"rate": asked.rate}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
