"""What spotify-confidence needs for the comparisons of `benchmarks/readout.py`, its own way: pandas from Parquet.

Run by the interpreter that has it (`benchmarks/interpreters.py`), with the path and the numbers of outcomes and rounds;
prints the seconds of each round, and the effects.
"""

import json
import sys
import time
import warnings

import pandas as pd
from spotify_confidence import ZTestLinreg


def effects(path: str, outcomes: int) -> list[float]:
    """Read the rows, sum them up by arm, and compare both arms with the control, adjusted by their covariates."""
    frame = pd.read_parquet(path)
    found = []
    for number in range(outcomes):
        value, covariate = frame[f"v{number}"], frame[f"v{number}_covariate"]
        columns = {
            "value": value,
            "squares": value * value,
            "covariate": covariate,
            "covariate_squares": covariate * covariate,
            "crossed": value * covariate,
        }
        known = pd.DataFrame(columns).groupby(frame["arm"]).sum()
        known["units"] = frame.groupby("arm").size()
        test = ZTestLinreg(
            data_frame=known.reset_index(),
            numerator_column="value",
            numerator_sum_squares_column="squares",
            denominator_column="units",
            feature_column="covariate",
            feature_sum_squares_column="covariate_squares",
            feature_cross_sum_column="crossed",
            categorical_group_columns="arm",
            correction_method="bonferroni",
        )
        differences = test.multiple_difference(level="control", level_as_reference=True)
        found += differences.set_index("level_2").loc[["new", "newer"], "difference"].tolist()
    return found


def main(path: str, outcomes: int, rounds: int) -> None:
    """Time each round from the file on."""
    warnings.filterwarnings("ignore")
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        found = effects(path, outcomes)
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": seconds, "effects": found}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
