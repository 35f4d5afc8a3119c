"""Every run of a project, how far it has come and what it takes on disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pandas as pd

from pipeline.results.run import Run
from stages.artifacts.documents import load_yaml
from stages.dag.folders import run_folder
from stages.dag.names import PARAMS
from stages.errors import Refusal


def runs(root: Path) -> pd.DataFrame:
    """Every run: run, dataset, epochs (of its own, finished), planned, nmi_labels (last), gigabytes on disk."""
    rows = []
    named = load_yaml(root / PARAMS).get("runs") or {}
    known = {path.name for path in (root / "data/runs").glob("*") if path.is_dir()}
    for name in sorted(known | set(map(str, named))):
        row: dict[str, Any] = {"run": name, "dataset": "", "epochs": 0, "planned": None, "nmi_labels": None}
        try:
            run = Run(name, root)
            history = run.history()
            row |= {
                "dataset": run.params.dataset.name if run.params.dataset else "",
                "epochs": len(run.epochs()),
                "planned": run.params.epochs - run.params.start,
            }
            known_nmi = history["nmi_labels"].dropna()
            row["nmi_labels"] = known_nmi.iloc[-1] if len(known_nmi) else None
        except Refusal:
            pass
        rows.append(row | {"gigabytes": disk(root / run_folder(name)) / 1e9})
    return pd.DataFrame(rows).astype({"planned": "Int64", "nmi_labels": "float64"})


def disk(folder: Path) -> int:
    """Bytes below a folder, a file under several names counted once."""
    seen: dict[tuple[int, int], int] = {}
    for path in folder.rglob("*"):
        # A run that goes on renames and removes files.
        with suppress(FileNotFoundError):
            stat = path.lstat()
            if S_ISREG(stat.st_mode):
                seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())
