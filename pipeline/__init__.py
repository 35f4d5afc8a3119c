"""What a user does with runs, a module for each command: plan, run, rerun, branch, prune and so on.

Below are the rooms `cli` (command line), `results` (pandas), `retention` (pruning) and `recording` (DVC). What a
stage computes is in `stages`. From Python:

from pipeline import open_run
run = open_run("demo")
run.history()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.results.run import Run

__all__ = ["compare", "open_run"]


def open_run(name: str, root: str | Path | None = None) -> Run:
    """The results of a run, finished or not; see `pipeline.results.run.Run`.

    Args:
        name: folder name below data/runs.
        root: the project's root; by default the one around the working directory.

    Raises:
        stages.errors.Refusal: there is no such run.
    """
    from pipeline.results.run import Run

    return Run(name, root)


def compare(*names: str, root: str | Path | None = None) -> pd.DataFrame:
    """Runs side by side: parameters that differ, final measures, epochs, minutes; see `pipeline.comparison.compare`.

    Raises:
        stages.errors.Refusal: no run is named, or one of them has not begun.
    """
    from pipeline.comparison import compare as beside

    return beside(*names, root=root)
