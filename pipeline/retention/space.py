"""The disk that a run will take at most, while its epochs are pruned as `retain` says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.recording.inspector import NodeStatus
from pipeline.retention.policy import stays_whole
from stages.artifacts.writing import existing
from stages.dag.folders import run_folder
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.parameters.run import RunParams

COLOUR_BYTES = 3


MEAN_ASPECT = 1.4
"""Long side over short side of the usual photograph, to estimate what packing takes."""


LARGE = ("features.zarr", "whitened.zarr", "trained")
"""What a pruned epoch loses."""


COPIES = 2
"""A small artifact lies in DVC's cache too (where the file system cannot share blocks)."""


@dataclass(frozen=True)
class Space:
    """Gigabytes by which the run will grow at most, and that are free."""

    needed: float
    free: float


def space(root: Path, params: RunParams, images: int, states: list[NodeStatus]) -> Space:
    """Estimates the disk that the stages not yet done will take, while epochs are pruned as `retain` says.

    Raises:
        Refusal: more than is free.
    """
    features = ARCHITECTURES[params.model.architecture].features(params.model.width)
    rows = {
        "pixels.zarr": params.dataset.size**2 * MEAN_ASPECT * COLOUR_BYTES,
        "features.zarr": features * (2 if params.extract.dtype == "float16" else 4),
        "whitened.zarr": params.whiten.dim * 4,
        # Parquet's bytes for random clusters, measured.
        "assignments.parquet": 11 * COPIES,
        "pseudolabels.parquet": 7 * COPIES,
    }
    size = {name: each * images for name, each in rows.items()} | {
        # checkpoint.pt is a link into it: the network, and the optimizer's momentum.
        "trained": parameters(params) * 8,
        "model.safetensors": parameters(params) * 4,
        "centroids.npy": (params.cluster.k or 0) * params.whiten.dim * 4 * COPIES,
        "pca.npz": features * params.whiten.dim * 8 * COPIES,
    }
    growth = _Growth(params, checkpoint=size["trained"])
    for status in states:
        takes = {Path(out.path).name: size.get(Path(out.path).name, 0.0) for out in status.node.outs.values()}
        # What persists stays until what replaces it is whole.
        beside = sum(takes[Path(out.path).name] for out in status.node.outs.values() if out.kind == "persistent")
        growth.add(status, sum(takes.values()), sum(takes.get(name, 0.0) for name in LARGE), beside)
    free = shutil.disk_usage(existing(root / run_folder(params.run))).free
    found = Space(growth.most / 1e9, free / 1e9)
    if found.needed > found.free:
        raise Refusal(
            f"run {params.run} needs {found.needed:.1f} GB and {found.free:.1f} GB are free; make room, or keep "
            "fewer epochs whole with --set retain.last=3, or plan fewer with --epochs, or a smaller network with "
            "--set model.width=…"
        )
    return found


class _Growth:
    """Bytes that a run takes more than now, stage by stage, and the most of it."""

    def __init__(self, params: RunParams, checkpoint: float) -> None:
        self.params, self.checkpoint = params, checkpoint
        self.now = self.most = 0.0
        self._whole: dict[int, float] = {}
        self._holding: set[int] = set()

    def add(self, status: NodeStatus, takes: float, large: float, beside: float) -> None:
        """One stage, in the order of computation.

        `large` of what it takes goes when its epoch is pruned; where it is done again, `beside` is
        taken beside what is there, for the time being.
        """
        epoch, folder = status.node.epoch, status.node.folder
        if status.state in ("missing", "failed"):
            self.now += takes
            self.most = max(self.most, self.now)
        elif status.state == "stale":
            self.most = max(self.most, self.now + beside)
        if epoch and status.node.stage == PRUNED and "checkpoint" in status.node.outs:
            self._holding.add(epoch)
        elif epoch and "/epochs/" in folder:
            self._whole[epoch] = self._whole.get(epoch, 0.0) + large
            if status.node.stage == "checkpoint":
                self._prune(epoch)

    def _prune(self, newest: int) -> None:
        for epoch in [e for e in self._whole if not stays_whole(self.params.retain, e, newest)]:
            self.now -= self._whole.pop(epoch)
            # Its checkpoint stays while the next epoch is whole.
            if epoch + 1 in self._whole:
                self.now += self.checkpoint
                self._holding.add(epoch)
            if epoch - 1 in self._holding:
                self.now -= self.checkpoint
                self._holding.discard(epoch - 1)


def parameters(params: RunParams) -> int:
    """Number of parameters of the backbone."""
    model = params.model
    return ARCHITECTURES[model.architecture].parameters(sobel=model.sobel, input=model.input, width=model.width)
