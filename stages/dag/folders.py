"""The folders of a data set, a run and its epochs.

Paths are relative to the project's root, with forward slashes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stages.dag.names import PARAMS
from stages.errors import Refusal

RUNS = "data/runs"
IMAGES = "data/images"
SETS = "data/evaluation"

FETCHED = "data/weights"
"""Weights that others have published, fetched for runs that begin with them; not in git."""


def dataset_folder(dataset: str) -> str:
    """Folder of the data set named `dataset`."""
    return f"{IMAGES}/{dataset}"


def set_folder(name: str) -> str:
    """Folder of the evaluation set named `name`."""
    return f"{SETS}/{name}"


def evaluation_folder(run: str, evaluation: str) -> str:
    """Folder of an evaluation of a run."""
    return f"{run_folder(run)}/evaluations/{evaluation}"


def run_folder(run: str) -> str:
    """Folder of the run named `run`."""
    return f"{RUNS}/{run}"


def epoch_folder(run: str, epoch: int | Literal["final"]) -> str:
    """Folder of an epoch, or of the clustering of the finished network ("final")."""
    return f"{run_folder(run)}/final" if epoch == "final" else f"{run_folder(run)}/epochs/{epoch:04d}"


def find_root(start: Path) -> Path:
    """The project's root: the closest folder at or above `start` that holds .dvc and params.yaml.

    Raises:
        Refusal: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / ".dvc").is_dir() and (folder / PARAMS).is_file():
            return folder
    raise Refusal(f"{start} is not inside a clone of the project (no .dvc and params.yaml above it)")
