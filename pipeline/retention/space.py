"""The disk that a run will take at most, while its epochs are pruned as `retain` says, against what is free."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.recording.hashes import look_at
from pipeline.recording.inspector import NodeStatus
from pipeline.retention.policy import Simulation
from stages.artifacts.publishing import Partial
from stages.artifacts.writing import existing
from stages.dag.folders import dataset_folder, run_folder
from stages.dag.names import ASSIGNMENTS, CENTROIDS, FEATURES, PCA, PIXELS, PSEUDOLABELS, WEIGHTS, WHITENED
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.parameters.run import RunParams
from stages.words import size as told

COLOUR_BYTES = 3
"""Bytes of a pixel."""

MEAN_ASPECT = 1.4
"""Long side divided by short side of a usual photograph, to estimate the size of packed pictures."""

COPIES = 2
"""Copies of a small artifact: its own and DVC's cache (unless the file system can share their blocks)."""


@dataclass(frozen=True)
class Space:
    """Gigabytes (1e9 bytes) by which a run will grow at most, and that are free."""

    needed: float
    free: float


def space(root: Path, params: RunParams, images: int, states: list[NodeStatus]) -> Space:
    """Estimates the disk that the stages which are not done will take, while epochs are pruned as `retain` says.

    What evaluations read and write is not counted.

    Args:
        images: number of pictures.
        states: of all stages of the run and its data set, in the order of computation.

    Raises:
        Refusal: they need more than is free.
    """
    features = ARCHITECTURES[params.model.architecture].features(params.model.width)
    projected = params.model.projection.dim
    top = (params.cluster.k or 0) * (features + 1) if params.train.top_kept else 0
    rows = {
        PIXELS: (params.dataset.size if params.dataset else 0) ** 2 * MEAN_ASPECT * COLOUR_BYTES,
        FEATURES: (features if projected is None else projected * params.extract.views)
        * (2 if params.extract.dtype == "float16" else 4),
        WHITENED: params.whiten.dim * 4,
        # Bytes a row, measured with random clusters, which compress worst.
        ASSIGNMENTS: (7 + 4 * params.cluster.heads) * COPIES,
        PSEUDOLABELS: (3 + 4 * params.cluster.heads) * COPIES,
    }
    size = {name: each * images for name, each in rows.items()} | {
        # float32 weights and momenta; the epoch's checkpoint.pt is a hard link to the same file.
        "trained": parameters(params) * 8 + top * 4,
        WEIGHTS: parameters(params) * 4,
        CENTROIDS: (params.cluster.k or 0) * params.cluster.heads * (projected or params.whiten.dim) * 4 * COPIES,
        PCA: features * params.whiten.dim * 8 * COPIES,
    }
    growth = _Growth(params, checkpoint=size["trained"])
    own = dataset_folder(params.dataset.name) if params.dataset else None
    for status in (status for status in states if status.node.run or status.node.folder == own):
        takes = {Path(out.path).name: size.get(Path(out.path).name, 0.0) for out in status.node.outs.values()}
        # A persistent artifact stays until its new version is whole.
        beside = sum(takes[Path(out.path).name] for out in status.node.outs.values() if out.kind == "persistent")
        large = sum(takes[Path(out.path).name] for out in status.node.outs.values() if out.kind == "large")
        written = _written(root, status)
        growth.add(status, max(0.0, sum(takes.values()) - written), large, max(0.0, beside - written))
    free = shutil.disk_usage(existing(root / run_folder(params.run))).free
    found = Space(growth.most / 1e9, free / 1e9)
    if found.needed > found.free:
        raise Refusal(
            f"run {params.run} needs {told(found.needed * 1e9)} and {told(found.free * 1e9)} are free; make room, or "
            "keep fewer epochs whole with --set retain.last=3, or plan fewer with --epochs, or a smaller network with "
            "--set model.width=…"
        )
    return found


def _written(root: Path, status: NodeStatus) -> int:
    """Bytes that a stage which was stopped has written by now, and goes on from."""
    if status.state == "done":
        return 0
    found = look_at(Partial(root / status.node.folder, status.node.stage).path)
    return 0 if found is None else found.size


class _Growth:
    """Growth of a run in bytes, stage by stage.

    Attributes:
        checkpoint: bytes of a checkpoint.
        now: growth so far; smaller again when epochs are pruned.
        most: the largest growth so far.
    """

    def __init__(self, params: RunParams, checkpoint: float) -> None:
        self.checkpoint = checkpoint
        self.now = self.most = 0.0
        self._simulation = Simulation(params.retain, params.start)
        self._large: dict[int, float] = {}

    def add(self, status: NodeStatus, takes: float, large: float, beside: float) -> None:
        """Adds one stage; to be called in the order of computation.

        Args:
            takes: bytes of all its outputs.
            large: bytes of those that are deleted when its epoch is pruned.
            beside: bytes of those whose old version stays on disk until the new one is whole.
        """
        node = status.node
        if status.state in ("missing", "failed"):
            self.now += takes
            self.most = max(self.most, self.now)
        elif status.state == "stale":
            self.most = max(self.most, self.now + beside)
        if node.epoch is None or not node.in_epoch:
            return
        if node.stage == PRUNED:
            self._simulation.found_pruned(node.epoch, holds="checkpoint" in node.outs)
            return
        self._large[node.epoch] = self._large.get(node.epoch, 0.0) + large
        if "checkpoint" in node.outs:
            self._simulation.finish(node.epoch)
            for step in self._simulation.prune():
                kept = self.checkpoint * (int(step.keeps_checkpoint) - int(step.releases is not None))
                self.now += kept - self._large.pop(step.epoch)


def parameters(params: RunParams) -> int:
    """Number of trainable parameters of the run's backbone, with its projection if it has one."""
    model = params.model
    architecture = ARCHITECTURES[model.architecture]
    backbone = architecture.parameters(sobel=model.sobel, input=model.input, width=model.width)
    hidden, dim = model.projection.hidden or 0, model.projection.dim or 0
    return backbone + (architecture.features(model.width) + 1 + 2 + dim) * hidden + dim
