"""Writes the dvc.yaml files of a run, and leaves those of recorded epochs as they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.recording.dvc_yaml import dataset_yaml, epoch_yaml, final_yaml, guard_yaml, run_yaml
from pipeline.recording.guards import guards
from pipeline.recording.lock_files import recorded_stages
from stages.artifacts.documents import load_yaml
from stages.artifacts.guards import MARK
from stages.artifacts.writing import write_bytes
from stages.dag.epochs import own_epochs
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.graph import epoch_nodes, is_planned
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.parameters.run import RunParams


@dataclass
class Planned:
    """What planning wrote and what it left alone."""

    written: list[str] = field(default_factory=list)
    kept: int = 0
    removed: list[str] = field(default_factory=list)


def write_dataset(root: Path, dataset: DatasetParams) -> None:
    _write(root, dataset_yaml(dataset), Planned())


def write_run(root: Path, params: RunParams) -> Planned:
    """Plans a run: writes what is missing or cannot be read, and else no dvc.yaml of an epoch that is recorded.

    An epoch whose guard is not recorded, since a kill came between, gets its stages back; one whose recorded guard
    is gone, since git brought back an older dvc.yaml, gets its guard.

    A resolved params.yaml that is no YAML is removed, since DVC reads it before `resolve` could write it anew.

    Epochs beyond the last that hold no record are removed from the plan.

    Raises:
        Refusal: fewer epochs than are recorded, or a recorded epoch of another structure.
    """
    done = refuse_other_plan(root, params)
    resolved = root / run_folder(params.run) / "params.yaml"
    if resolved.exists():
        try:
            load_yaml(resolved)
        except Refusal:
            resolved.unlink()
    planned = Planned()
    files: dict[str, str] = {}
    guarded = guards(root, params)
    for epoch in own_epochs(params):
        folder = root / epoch_folder(params.run, epoch)
        stages = _planned_stages(folder) if epoch in done else None
        if epoch in guarded and (stages is None or PRUNED not in stages):
            files |= guard_yaml(guarded[epoch])
        elif stages is None or half_pruned(folder):
            files |= epoch_yaml(params, epoch)
        else:
            planned.kept += 1
    files |= final_yaml(params) | run_yaml(params)
    for folder in sorted((root / run_folder(params.run) / "epochs").glob("*")):
        if folder.name.isdigit() and int(folder.name) > params.epochs and (folder / "dvc.yaml").exists():
            shutil.rmtree(folder)
            planned.removed.append(str(folder.relative_to(root)))
    _write(root, files, planned)
    return planned


def refuse_other_plan(root: Path, params: RunParams) -> list[int]:
    """The recorded epochs, refused where `params` would drop one or give it other stages."""
    done = recorded_epochs(root, params.run)
    _refuse_fewer(done, params)
    for epoch in done:
        if epoch > params.start:
            _refuse_other_structure(root, params, epoch)
    return done


def half_pruned(folder: Path) -> bool:
    """Whether a kill came between the guard's dvc.yaml and its record: nothing is deleted yet."""
    path = folder / "dvc.yaml"
    return path.exists() and MARK in path.read_text(encoding="utf-8") and PRUNED not in recorded_stages(folder)


def half_pruned_epochs(root: Path, params: RunParams) -> list[int]:
    return [epoch for epoch in own_epochs(params) if half_pruned(root / epoch_folder(params.run, epoch))]


def recorded_epochs(root: Path, run: str) -> list[int]:
    """Epochs with a dvc.lock: something of them was computed."""
    locks = (root / run_folder(run) / "epochs").glob("*/dvc.lock")
    return sorted(int(lock.parent.name) for lock in locks if lock.parent.name.isdigit())


def _refuse_fewer(done: list[int], params: RunParams) -> None:
    if done and done[-1] > params.epochs:
        raise Refusal(
            f"params.yaml: epochs: {params.epochs} is fewer than the {done[-1]} recorded for run "
            f"{params.run}; nothing was deleted: --epochs {done[-1]}, or `python -m pipeline branch "
            f"--from {params.run}@{params.epochs} --run NAME`"
        )


def _refuse_other_structure(root: Path, params: RunParams, epoch: int) -> None:
    folder = root / epoch_folder(params.run, epoch)
    stages: Mapping[str, Any] | None = _planned_stages(folder)
    if stages is None:
        # Its dvc.yaml will be written again: what is recorded, perhaps not all of the epoch, tells.
        stages = recorded_stages(folder)
        same = set(stages) <= {PRUNED, *(node.stage for node in epoch_nodes(params, epoch))}
    else:
        same = is_planned(params, epoch, stages)
    if not same:
        raise Refusal(
            f"params.yaml: cluster.every: epoch {epoch} of run {params.run} is recorded with the stages "
            f"{', '.join(sorted(stages))}; `python -m pipeline branch --from {params.run}@{epoch - 1} "
            f"--run NAME --set cluster.every={params.cluster.every}`"
        )


def _planned_stages(folder: Path) -> dict[str, Any] | None:
    """The stages of a folder's dvc.yaml, or None where it is missing, damaged or empty."""
    try:
        content = load_yaml(folder / "dvc.yaml")
    except Refusal:
        return None
    stages = content.get("stages") if isinstance(content, dict) else None
    return stages if isinstance(stages, dict) and stages and all(isinstance(s, dict) for s in stages.values()) else None


def _write(root: Path, files: dict[str, str], planned: Planned) -> None:
    for name, content in files.items():
        path = root / name
        if path.exists() and path.read_text(encoding="utf-8") == content:
            planned.kept += 1
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.encode())
        planned.written.append(name)
