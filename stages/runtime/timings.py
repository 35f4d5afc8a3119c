"""timings.csv: how much time and memory each stage took."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import sys
from pathlib import Path

from stages.dag.names import TIMINGS
from stages.parameters.run import RunParams
from stages.runtime.job import Job
from stages.runtime.threads import usable_cores

TIMING_COLUMNS = (
    "epoch",
    "stage",
    "pid",
    "seconds",
    "peak_anon_mb",
    "images_per_s",
    "threads",
    "device",
    "versions",
)


def record_timing(job: Job, context: RunParams | None, seconds: float, peak: float | None) -> None:
    """Adds a row of `TIMING_COLUMNS` to the timings.csv of the job's run or data set; a failure is only told.

    Args:
        context: the run's parameters; None for a data set.
        seconds: wall time of the stage.
        peak: peak anonymous memory in MiB; None where it is not known.
    """
    folder = job.root / f"data/runs/{job.node.run}" if job.node.run else job.folder
    path = folder / TIMINGS
    names = ("torch", "faiss", "zarr", "numpy")
    versions = " ".join(f"{name} {_version(name)}" for name in names if name in sys.modules)
    where = "final" if Path(job.node.folder).name == "final" else job.node.epoch
    row = {
        "epoch": "" if where is None else where,
        "stage": job.node.stage,
        "pid": os.getpid(),
        "seconds": f"{seconds:.3f}",
        "peak_anon_mb": "" if peak is None else f"{peak:.0f}",
        "images_per_s": f"{job.images / seconds:.1f}" if job.images else "",
        "threads": context.threads if context else usable_cores(),
        "device": context.device if context else "cpu",
        "versions": versions,
    }
    new = not path.exists()
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, TIMING_COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
    except OSError as error:
        # The stage's results are published by now; they are worth more than its timing.
        job.report.say(f"{path} could not be written: {error.strerror}")


def _version(module: str) -> str:
    for distribution in (module, f"{module}-gpu", f"{module}-cpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "?"
