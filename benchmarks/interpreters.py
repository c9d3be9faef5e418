"""Interpreters of their own for peers whose packages do not go beside ours, in build/, made when first asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PEERS = {
    "mabwiser": ("mabwiser==2.7.4",),
    "confidence": ("spotify-confidence==4.1.0", "pandas==2.3.3", "pyarrow==22.0.0"),
}
"""The packages of each; the rest is what pip finds for them."""


def interpreter(peer: str) -> Path:
    """Return the Python that has a peer's packages; the first time takes a minute or two."""
    folder = Path("build") / peer
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = " ".join(PEERS[peer])
    if not ready.exists() or ready.read_text() != wanted:
        print(f"{peer}: installing {wanted} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        quiet = ("-q", "--disable-pip-version-check")
        subprocess.run([python, "-m", "pip", "install", *quiet, *PEERS[peer]], check=True)
        ready.write_text(wanted)
    return python.absolute()
