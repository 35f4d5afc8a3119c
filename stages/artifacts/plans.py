"""The dvc.yaml of an epoch as it is on disk: which stages it plans, and which parameter keys each of them tracks.

A recorded epoch keeps its dvc.yaml, because DVC would compute the epoch again under a new one. So the file may hold
fewer stages, and track fewer keys, than are declared today.
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
        text = (folder / PLAN).read_bytes()
        stages = parse_generated(text)["stages"]
    except Exception:
        return None
    if not text.endswith(b"\n") or not isinstance(stages, dict) or not stages:
        return None
    if not all(isinstance(stage, dict) and isinstance(stage.get("cmd"), str) for stage in stages.values()):
        return None
    return stages if _holds_what_is_recorded(folder, stages) else None


def _holds_what_is_recorded(folder: Path, stages: Mapping[str, Any]) -> bool:
    """Whether a plan has the stages that its dvc.lock records: cut short at the end of a line, it has fewer."""
    try:
        lock = (folder / LOCK).read_bytes()
    except OSError:
        return True
    # One of the two is a guard's where a kill came between.
    if PRUNED in stages or f"\n  {PRUNED}:\n".encode() in lock:
        return True
    return all(name in stages for name in declared() if f"\n  {name}:\n".encode() in lock)


def tracked_keys(stage: Mapping[str, Any]) -> Iterator[str]:
    """The keys of all params files that a stage depends on.

    Args:
        stage: its entry in a dvc.yaml.
    """
    for params in stage.get("params", []):
        for keys in params.values() if isinstance(params, dict) else ():
            yield from keys


def untracked(stages: Mapping[str, Any], values: Mapping[str, Any], *, final: bool = False) -> Iterator[str]:
    """Keys that a dvc.yaml should track and does not: declared since it was written, and no longer at their default.

    Args:
        stages: the stages of the dvc.yaml, by name.
        values: the run's current parameters, nested as in params.yaml.
        final: whether it is that of final/.
    """
    for name, stage in stages.items():
        if name != PRUNED and name in declared():
            yield from unrecorded(keys_of(name, final=final), tracked_keys(stage), values)


def misfit(params: RunParams, epoch: int, stages: Mapping[str, Any]) -> str | None:
    """The parameter that a dvc.yaml does not fit by the stages that it plans: `recipe`, `cluster.every`, or none.

    Args:
        stages: the stages of the dvc.yaml, by name.
    """
    if of_other_recipe(params, stages):
        return "recipe"
    return None if _clusters_as_asked(params, epoch, stages) else "cluster.every"


def of_other_recipe(params: RunParams, stages: Mapping[str, Any]) -> bool:
    """Whether a stage, or a file that one reads, belongs to another recipe.

    Args:
        stages: the stages of a dvc.yaml or of a dvc.lock, by name.
    """
    for name, entry in stages.items():
        stage = declared().get(name)
        if stage is None:
            continue
        others = {read.name for read in stage.reads.values() if read.recipe not in (None, params.recipe)}
        if stage.recipe not in (None, params.recipe) or others & _read_by(entry):
            return True
    return False


def _read_by(entry: Mapping[str, Any]) -> set[str]:
    """The names of the files that a stage reads, by its entry in a dvc.yaml or a dvc.lock."""
    return {Path(dep if isinstance(dep, str) else dep["path"]).name for dep in entry.get("deps", [])}


def _clusters_as_asked(params: RunParams, epoch: int, stages: Mapping[str, Any]) -> bool:
    """Whether a clustering is planned for an epoch exactly if `cluster.every` asks for one."""
    anew = clustered_epoch(params, epoch) == epoch
    if PRUNED in stages:
        outs = {out if isinstance(out, str) else next(iter(out)) for out in stages[PRUNED].get("outs", [])}
        return (ASSIGNMENTS in outs) == anew
    clustering = [stage.name for stage in of_epochs() if stage.place != "epoch" and stage.name in stages]
    # Of an epoch that is begun, the stages that come later may be missing.
    return anew if clustering else not anew or not set(stages) & {stage.name for stage in of_epochs()}


def recorded_plans(root: Path, params: RunParams) -> Plans:
    """The finished epochs that have fewer stages than are declared today, and which stages they have."""
    found = {}
    whole = set(whole_epochs(root / run_folder(params.run)))
    for epoch in (epoch for epoch in own_epochs(params) if epoch in whole):
        folder = root / epoch_folder(params.run, epoch)
        lock = (folder / LOCK).read_bytes()
        declared = [node.stage for node in epoch_nodes(params, epoch)]
        # Where a stage is not recorded, dvc.yaml tells whether it is planned and still to come. Looking for its name
        # in the text first saves parsing both files of most epochs.
        if not all(f"\n  {stage}:\n".encode() in lock for stage in declared):
            stages = planned_stages(folder)
            if stages is not None and PRUNED not in stages and not set(declared) <= set(stages):
                found[epoch] = frozenset(stages)
    return found
