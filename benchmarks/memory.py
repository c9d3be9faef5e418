"""Print the peak memory, in MB, of a process that lands 38,000 framed events and nothing else."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.consume import ours, peak_memory


class NoPandas(MetaPathFinder):
    """Hides pandas, as the layer has none: pyarrow imports it where it is."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        """Refuse pandas, and leave the rest to others."""
        if fullname.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("pandas is hidden", name=fullname)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, NoPandas())
    ours(msgspec.json.decode(Path(sys.argv[1]).read_bytes()))
    print(peak_memory())
