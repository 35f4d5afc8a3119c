"""Which epochs a run has, and how their numbers are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.parameters.run import RunParams

if TYPE_CHECKING:
    pass


def clustered_epoch(params: RunParams, epoch: int) -> int:
    """The epoch whose clustering `epoch` trains on (`cluster.every`, section 3.4)."""
    return epoch - (epoch - params.start - 1) % params.cluster.every


def own_epochs(params: RunParams) -> range:
    """The epochs that this run trains: all, or those after the one that it branched from."""
    return range(params.start + 1, params.epochs + 1)


def spans(epochs: list[int]) -> str:
    """Sorted numbers for people: "0, 50, 98 to 100"."""
    parts: list[list[int]] = []
    for epoch in epochs:
        if parts and epoch == parts[-1][-1] + 1:
            parts[-1].append(epoch)
        else:
            parts.append([epoch])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts) or "none"
