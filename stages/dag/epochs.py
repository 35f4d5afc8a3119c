"""Which epochs a run has, and how their numbers are told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stages.dag.names import CHECKPOINT
from stages.parameters.run import RunParams


def clustered_epoch(params: RunParams, epoch: int) -> int:
    """The epoch whose clustering `epoch` trains on (`cluster.every`, section 3.4)."""
    return epoch - (epoch - params.start - 1) % params.cluster.every


def own_epochs(params: RunParams) -> range:
    """The epochs that this run trains: all, or those after the one that it branched from."""
    return range(params.start + 1, params.epochs + 1)


def epochs_with(run: Path, name: str) -> list[int]:
    """Epochs of the run in the folder `run` that hold a file or folder `name`, in order; 0 is the initialised network.

    What else lies in the folder of epochs, such as a copy that a user made of one, is none.
    """
    folders = (folder for folder in (run / "epochs").glob("*") if folder.name.isdecimal() and len(folder.name) >= 4)
    return sorted(int(folder.name) for folder in folders if (folder / name).exists())


def epochs_with_checkpoint(run: Path) -> list[int]:
    """Epochs that a branch can start from."""
    return epochs_with(run, CHECKPOINT)


def spans(epochs: Iterable[int]) -> str:
    """Sorted numbers for people: "0, 50, 98 to 100"."""
    parts: list[list[int]] = []
    for epoch in epochs:
        if parts and epoch == parts[-1][-1] + 1:
            parts[-1].append(epoch)
        else:
            parts.append([epoch])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts) or "none"
