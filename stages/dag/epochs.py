"""The epochs of a run, as its parameters ask for them and as they lie on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stages.dag.names import CHECKPOINT
from stages.parameters.run import RunParams


def clustered_epoch(params: RunParams, epoch: int) -> int:
    """The epoch whose clustering `epoch` trains on: itself, or an earlier one (`cluster.every`, section 3.4).

    In the first epochs of a branch that is the one it starts from, which holds its parent's assignments.
    """
    first = params.cluster.counted_from or params.start + 1
    return max(params.start, epoch - (epoch - first) % params.cluster.every)


def own_epochs(params: RunParams) -> range:
    """The numbers of the epochs that this run trains: from 1, or after the epoch that it branched from."""
    return range(params.start + 1, params.epochs + 1)


def epochs_with(run: Path, name: str) -> list[int]:
    """Sorted numbers of the epochs whose folder holds a file or folder `name`; 0 is the initialised network.

    Other folders in epochs/, such as a user's copy 0003.bak, do not count.

    Args:
        run: the run's folder, data/runs/NAME.
    """
    folders = (folder for folder in (run / "epochs").glob("*") if folder.name.isdecimal() and len(folder.name) >= 4)
    return sorted(int(folder.name) for folder in folders if (folder / name).exists())


def epochs_with_checkpoint(run: Path) -> list[int]:
    """Sorted numbers of the epochs that a branch can start from.

    Args:
        run: the run's folder, data/runs/NAME.
    """
    return epochs_with(run, CHECKPOINT)


def spans(epochs: Iterable[int]) -> str:
    """Sorted numbers as a text such as "0, 50, 98 to 100"; "none" where there are none."""
    parts: list[list[int]] = []
    for epoch in epochs:
        if parts and epoch == parts[-1][-1] + 1:
            parts[-1].append(epoch)
        else:
            parts.append([epoch])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts) or "none"
