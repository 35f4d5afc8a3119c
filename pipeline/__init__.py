"""Orchestrates the stages: planning, running, recording in DVC, and access from pandas.

from pipeline import open_run
run = open_run("demo")
run.history()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.results.run import Run

__all__ = ["open_run"]


def open_run(name: str, root: str | Path | None = None) -> Run:
    """The results of a run, as far as it has come; see `pipeline.results.run.Run`.

    Args:
        name: folder name below data/runs.
        root: the project's root; by default the one around the working directory.

    Raises:
        stages.errors.Refusal: there is no such run.
    """
    from pipeline.results.run import Run

    return Run(name, root)
