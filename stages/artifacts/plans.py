"""dvc.yaml of an epoch as it lies there: which stages it plans, and which keys each of them tracks.

A recorded epoch keeps its dvc.yaml, since DVC would compute it again under another: so it may hold fewer stages, and
track fewer keys, than are declared today.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.artifacts.documents import parse_generated
from stages.artifacts.records import whole_epochs
from stages.dag.declared import declared, of_epochs
from stages.dag.epochs import clustered_epoch, own_epochs
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.graph import Plans, epoch_nodes, keys_of
from stages.dag.names import ASSIGNMENTS, LOCK, PLAN
from stages.dag.nodes import PRUNED
from stages.parameters.differences import unrecorded
from stages.parameters.run import RunParams


def planned_stages(folder: Path) -> dict[str, Any] | None:
    """The stages of a folder's dvc.yaml, or None where it is missing, damaged or empty."""
    try:
        stages = parse_generated((folder / PLAN).read_bytes())["stages"]
    except Exception:
        return None
    return stages if isinstance(stages, dict) and stages and all(isinstance(s, dict) for s in stages.values()) else None


def tracked_keys(stage: Mapping[str, Any]) -> Iterator[str]:
    """The keys of params files that a stage of a dvc.yaml depends on."""
    for params in stage.get("params", []):
        for keys in params.values() if isinstance(params, dict) else ():
            yield from keys


def untracked(stages: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Keys that the stages of a dvc.yaml depend on today and do not track, and that no longer have their default.

    Args:
        values: the run's parameters that now hold.
    """
    for name, stage in stages.items():
        if name != PRUNED and name in declared():
            yield from unrecorded(keys_of(name), tracked_keys(stage), values)


def fits(params: RunParams, epoch: int, stages: Mapping[str, Any]) -> bool:
    """Whether a dvc.yaml plans an epoch as the parameters ask for: with a clustering of its own, or without."""
    anew = clustered_epoch(params, epoch) == epoch
    if PRUNED in stages:
        outs = {out if isinstance(out, str) else next(iter(out)) for out in stages[PRUNED].get("outs", [])}
        return (ASSIGNMENTS in outs) == anew
    clustering = [stage.name for stage in of_epochs() if stage.place != "epoch" and stage.name in stages]
    # Of an epoch that is begun, the stages that come later may be missing.
    return anew if clustering else not anew or not set(stages) & {stage.name for stage in of_epochs()}


def recorded_plans(root: Path, params: RunParams) -> Plans:
    """The finished epochs that hold fewer stages than are declared today, and which those are."""
    found = {}
    whole = set(whole_epochs(root / run_folder(params.run)))
    for epoch in (epoch for epoch in own_epochs(params) if epoch in whole):
        folder = root / epoch_folder(params.run, epoch)
        lock = (folder / LOCK).read_bytes()
        declared = [node.stage for node in epoch_nodes(params, epoch)]
        # Only a record that lacks one needs its plan to tell whether it is still to come.
        if not all(f"\n  {stage}:\n".encode() in lock for stage in declared):
            stages = planned_stages(folder)
            if stages is not None and PRUNED not in stages and not set(declared) <= set(stages):
                found[epoch] = frozenset(stages)
    return found
