"""What a run will need and cost, told before it begins: disk, recorded hours, a usable machine."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.lockfiles import recorded_stages
from pipeline.retention import stays_whole
from pipeline.sources import since_packed
from pipeline.status import NodeStatus
from stages.artifacts import load_run_params, load_yaml, spans
from stages.errors import Refusal
from stages.folders import dataset_folder, own_epochs, run_folder
from stages.listing import checked_listing
from stages.nodes import PRUNED
from stages.params import DatasetParams, RunParams, feature_width, lookup, same, scaled
from stages.pruned import reason
from stages.publish import existing
from stages.values import as_values, changes

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
    rows = {
        "pixels.zarr": params.dataset.size**2 * MEAN_ASPECT * COLOUR_BYTES,
        "features.zarr": feature_width(params.model) * (2 if params.extract.dtype == "float16" else 4),
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
        "pca.npz": feature_width(params.model) * params.whiten.dim * 8 * COPIES,
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
    """About how many parameters the backbone has, from its two largest kinds of layer."""
    model = params.model
    if model.architecture.startswith("resnet"):
        full = {"resnet18": 11_200_000, "resnet50": 23_500_000}[model.architecture]
        return round(full * model.width**2)
    hidden = feature_width(model)
    if model.architecture == "alexnet":
        side = ((((model.input - 7) // 4 + 1 - 3) // 2 + 1 - 3) // 2 + 1 - 3) // 2 + 1
        return scaled(256, model.width) * side**2 * hidden + hidden**2 + round(3_750_000 * model.width**2)
    side = model.input // 32
    return scaled(512, model.width) * side**2 * hidden + hidden**2 + round(14_700_000 * model.width**2)


def recomputed(states: list[NodeStatus]) -> list[int]:
    """Recorded epochs that would be computed again."""
    return sorted(
        {
            status.node.epoch
            for status in states
            if status.state == "stale" and status.node.epoch and "epochs/" in status.node.folder
            if status.node.stage != PRUNED
        }
    )


def recorded_hours(root: Path, run: str, epochs: list[int]) -> float:
    """Hours that the epochs took, by timings.csv: the last time of each of their stages."""
    path = root / run_folder(run) / "timings.csv"
    if not path.exists():
        return 0.0
    last: dict[tuple[str, str], float] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                last[row["epoch"], row["stage"]] = float(row["seconds"])
            except (KeyError, TypeError, ValueError):
                continue
    wanted = {str(epoch) for epoch in epochs}
    return sum(seconds for (epoch, _), seconds in last.items() if epoch in wanted) / 3600


def other_threads(root: Path, params: RunParams) -> str | None:
    """A line where recorded stages were computed with another number of threads."""
    path = root / run_folder(params.run) / "timings.csv"
    if not path.exists():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        before = {row.get("threads") for row in csv.DictReader(file)} - {str(params.threads), None}
    if not before:
        return None
    return (
        f"threads: {params.threads}, and stages so far used {', '.join(sorted(map(str, before)))}: nothing is redone, "
        "but last digits may differ from a run of one number"
    )


def refuse_pruned(root: Path, params: RunParams, states: list[NodeStatus]) -> None:
    """Stops where a pruned epoch is not what the parameters ask for: `--yes` could not compute it."""
    for status in states:
        if status.node.stage == PRUNED and status.state != "done" and not status.inherited:
            assert status.node.epoch is not None
            raise Refusal(reason(root, params.run, status.node.epoch, as_values(params)))


def refuse_recomputing(root: Path, params: RunParams, states: list[NodeStatus], *, yes: bool) -> None:
    """Stops before recorded epochs are lost, unless told to go on."""
    epochs = recomputed(states)
    if not epochs or yes:
        return
    stale = [status for status in states if status.state == "stale"]
    # What the whole run is resolved from differs wherever anything does: the cause is more than that.
    first = next((s for s in stale if s.node.stage != "resolve" and not s.inherited), stale[0])
    hours = recorded_hours(root, params.run, epochs)
    kept = f"{params.run}@{max(params.start, epochs[0] - 1)}"
    raise Refusal(
        f"{len(epochs)} recorded epochs of run {params.run} ({epochs[0]} to {epochs[-1]}, {hours:.2f} hours) "
        f"would be computed again, because of {first.node.folder}:{first.node.stage} ({first.why}): add --yes, "
        f"or keep them with `python -m pipeline branch --from {kept} --run NAME{_as_sets(root, params)}`"
    )


def refuse_repacking(root: Path, dataset: DatasetParams, *, yes: bool) -> None:
    """Stops before the pictures of recorded epochs give way to others, unless told to go on."""
    changed = None if yes else _repacked(root, dataset)
    if changed is None:
        return
    losing = []
    for folder in sorted(root.glob("data/runs/*")):
        epochs = sorted(int(found.parent.name) for found in folder.glob("epochs/*/metrics.json"))
        params = _params_of(folder) if epochs else None
        if params is not None and params.dataset.name == dataset.name:
            hours = recorded_hours(root, folder.name, epochs)
            # What a branch starts from belongs to its former pictures.
            lost = " and lost, being of a branch" if params.branch else ""
            losing.append(f"run {folder.name} (epochs {spans(epochs)}, {hours:.2f} hours{lost})")
    if losing:
        raise Refusal(
            f"{changed}: packed again, they replace the pictures of {' and '.join(losing)}, to be computed again: add "
            f"--yes, or start another run on them: `python -m pipeline run --run NAME --images {dataset.path}`"
        )


def _repacked(root: Path, dataset: DatasetParams) -> str | None:
    """What packing again would change in the pictures; None where nothing, or where that cannot be told."""
    folder = root / dataset_folder(dataset.name)
    key = f"datasets.{dataset.name}"
    recorded = recorded_stages(folder).get("pack", {}).get("params", {}).values()
    before = next((values[key] for values in recorded if key in values), None)
    try:
        now = lookup(load_yaml(root / "params.yaml"), key)
        if isinstance(before, Mapping):
            edited = [name for name in sorted({*before, *now}) if not same(before.get(name), now.get(name))]
            if edited:
                return f"{key}.{edited[0]} has changed since they were packed"
        if dataset.generate is None:
            return since_packed(root, dataset, checked_listing(root, dataset, folder))
    except Refusal:
        # The source is not there, which packing refuses, or the files of the former packing, which it mends.
        pass
    return None


def _params_of(folder: Path) -> RunParams | None:
    """A run's parameters, or None where they cannot be read."""
    try:
        return load_run_params(folder)
    except Refusal:
        return None


def _as_sets(root: Path, params: RunParams) -> str:
    """The options of a branch that give it what `params` changes in the recorded run."""
    recorded = _params_of(root / run_folder(params.run))
    return "".join(f" --set {key}={value}" for key, value in changes(recorded, params)) if recorded else ""


def refuse_links(root: Path, params: RunParams) -> None:
    """DVC does not look for a dvc.yaml below a link."""
    for name in (
        "data",
        "data/runs",
        "data/images",
        run_folder(params.run),
        dataset_folder(params.dataset.name),
    ):
        if (root / name).is_symlink():
            raise Refusal(
                f"{name} is a link, and DVC follows none: to keep data on another disk, clone the project "
                f"there, or `mount --bind` a folder of that disk on {root / name}"
            )


def refuse_device(params: RunParams) -> str | None:
    """Refuses a device or precision that this machine lacks; a line about one left unused."""
    import torch

    if params.device != "cpu":
        from stages.checkpoints import device_of

        device_of(params.device)
        if params.precision == "bf16" and not torch.cuda.is_bf16_supported():
            raise Refusal("precision: bf16: this GPU has no bf16 units; --set precision=float32")
    elif torch.cuda.is_available():
        return "device: cpu, although this machine has a CUDA device: --set device=cuda uses it"
    return None


def epochs_left(states: list[NodeStatus], params: RunParams) -> int:
    unfinished = {s.node.epoch for s in states if s.state != "done" and "epochs/" in s.node.folder}
    return len(unfinished & set(own_epochs(params)))
