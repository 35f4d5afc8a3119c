"""Where a data set, a run and its epochs lie, and which epochs a run has.

Paths are relative to the project's root, with forward slashes.
"""

from __future__ import annotations

from typing import Literal

from stages.params import RunParams


def dataset_folder(dataset: str) -> str:
    return f"data/images/{dataset}"


def run_folder(run: str) -> str:
    return f"data/runs/{run}"


def epoch_folder(run: str, epoch: int | Literal["final"]) -> str:
    return f"{run_folder(run)}/final" if epoch == "final" else f"{run_folder(run)}/epochs/{epoch:04d}"


def clustered_epoch(params: RunParams, epoch: int) -> int:
    """The epoch whose clustering `epoch` trains on (`cluster.every`, section 3.4)."""
    return epoch - (epoch - params.start - 1) % params.cluster.every


def own_epochs(params: RunParams) -> range:
    """The epochs that this run trains: all, or those after the one that it branched from."""
    return range(params.start + 1, params.epochs + 1)
