"""Writes the dvc.yaml files of a data set and a run, and leaves those of recorded epochs as they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.recording.dvc_yaml import (
    dataset_yaml,
    epoch_yaml,
    evaluation_yaml,
    final_yaml,
    growing_yaml,
    guard_yaml,
    render,
    run_yaml,
    set_yaml,
    stage_entry,
)
from pipeline.recording.guards import guards
from pipeline.recording.stage_plan import StagePlan, outputs
from stages.artifacts.documents import load_yaml
from stages.artifacts.plans import misfit, of_other_recipe, planned_stages, recorded_plans, untracked
from stages.artifacts.records import mentions_guard, recorded_stages, whole_epochs
from stages.artifacts.writing import write_bytes
from stages.dag.data import datasets, evaluation_sets, reads_proposals
from stages.dag.declared import of_runs
from stages.dag.epochs import epochs_with, own_epochs
from stages.dag.folders import dataset_folder, epoch_folder, run_folder, set_folder
from stages.dag.graph import (
    Plans,
    end_nodes,
    epoch_nodes,
    evaluation_nodes,
    final_nodes,
    keys_of,
    root_nodes,
    run_nodes,
    start_nodes,
)
from stages.dag.names import LOCK, PARAMS, PLAN
from stages.dag.nodes import PRUNED, Node
from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.parameters.differences import as_values, unrecorded
from stages.parameters.keys import has
from stages.parameters.run import RunParams


@dataclass
class Planned:
    """What planning did.

    Attributes:
        written: paths of the files that were new or changed, relative to the project's root.
        kept: number of the files that stayed as they were.
        removed: folders of epochs beyond the last, relative to the project's root.
    """

    written: list[str] = field(default_factory=list)
    kept: int = 0
    removed: list[str] = field(default_factory=list)

    def __add__(self, other: Planned) -> Planned:
        return Planned(self.written + other.written, self.kept + other.kept, self.removed + other.removed)


def write_dataset(root: Path, dataset: DatasetParams, *, ahead: bool = True) -> None:
    """Plans a data set; unless `ahead`, only where something of it is recorded already."""
    if ahead or recorded_stages(root / dataset_folder(dataset.name)):
        _write(root, dataset_yaml(dataset), Planned())


def write_data(root: Path, params: RunParams, *, ahead: bool = True) -> None:
    """Plans the data sets and evaluation sets of a run; unless `ahead`, those of which something is recorded."""
    for dataset in datasets(params):
        write_dataset(root, dataset, ahead=ahead)
    for one in evaluation_sets(params):
        folder = root / set_folder(one.name)
        if ahead or recorded_stages(folder):
            # Another run may have planned proposals there.
            proposed = reads_proposals(params, one) or "proposals" in (planned_stages(folder) or {})
            _write(root, set_yaml(one, proposed=proposed), Planned())


def write_evaluations(root: Path, params: RunParams) -> Planned:
    """Plans the evaluations of a run; of the demo also the root's stage, beside stages that a user has put there."""
    planned = Planned()
    for node in evaluation_nodes(params):
        _write(root, evaluation_yaml(node), planned)
    for node in root_nodes(params):
        StagePlan(root).add(node)
    return planned


def write_run(root: Path, params: RunParams, *, ahead: bool = True) -> Planned:
    """Plans a run, and leaves what is recorded as it is.

    A dvc.yaml that is missing or cannot be read is written again. An epoch whose guard is not recorded, since a kill
    came between, gets its stages back; one whose recorded guard is gone, since git brought back an older dvc.yaml,
    gets its guard. Epochs beyond the last are removed.

    Args:
        ahead: plan all that is to come, for `dvc repro`. Otherwise what is not planned stays so, until `StagePlan`
            adds it, and `unfinished` stands for it.

    Raises:
        Refusal: fewer epochs than are whole, or a recorded epoch of another structure.
    """
    done = refuse_other_plan(root, params)
    values = as_values(params)
    planned = Planned()
    files: dict[str, str] = {}
    guarded, plans = guards(root, params), recorded_plans(root, params)
    ahead = ahead or _everything_is_planned(root, params, guarded, plans)
    for epoch in own_epochs(params):
        folder = root / epoch_folder(params.run, epoch)
        stages = planned_stages(folder)
        if epoch in guarded and (stages is None or PRUNED not in stages):
            files |= guard_yaml(guarded[epoch])
        elif epoch not in done:
            wanted = {node.stage for node in epoch_nodes(params, epoch)}
            # A part of a plan is of an epoch that `run` had just begun, and goes on with.
            files |= epoch_yaml(params, epoch) if ahead or wanted <= set(stages or {}) else {}
        elif stages is None and not ahead:
            files |= _restored(root, epoch_nodes(params, epoch, plans))
        elif stages is None or half_pruned(folder) or any(untracked(stages, values)):
            files |= epoch_yaml(params, epoch, plans)
        elif ahead and len(stages) < len(epoch_nodes(params, epoch, plans)) and PRUNED not in stages:
            files |= _completed(epoch_nodes(params, epoch, plans), stages)
        else:
            planned.kept += 1
    whole = set(whole_epochs(root / run_folder(params.run)))
    if _resolved_is_unusable(root, params.run, tracked_anew=not whole >= set(own_epochs(params))):
        # DVC reads this file before `resolve` writes it anew, and fails where a key that it tracks is missing.
        (root / run_folder(params.run) / PARAMS).unlink(missing_ok=True)
    ends = end_nodes(params, plans)
    recorded = _recorded_keys(root, [*start_nodes(params), *ends], values)
    if ahead:
        files |= final_yaml(params, _recorded_keys(root, final_nodes(params), values))
        files |= run_yaml(params, recorded, plans)
    else:
        stages = planned_stages(root / epoch_folder(params.run, "final"))
        if final_nodes(params) and (stages is None or any(untracked(stages, values, final=True))):
            files |= _restored(root, final_nodes(params))
        there = planned_stages(root / run_folder(params.run)) or _recorded_entries(root, ends)
        kept = {node.stage: there[node.stage] for node in ends if node.stage in there}
        # One that does not follow a key of today is planned anew when it is made again; so is one that made other
        # files, of which another stage may be the maker now.
        outs = {node.stage: outputs(stage_entry(node)) for node in ends}
        kept = {
            name: entry
            for name, entry in kept.items()
            if not any(untracked({name: entry}, values)) and outputs(entry) == outs[name]
        }
        files |= growing_yaml(params, recorded, kept)
    for epoch in epochs_with(root / run_folder(params.run), PLAN):
        if epoch > params.epochs and epoch not in done:
            folder = root / epoch_folder(params.run, epoch)
            shutil.rmtree(folder)
            planned.removed.append(str(folder.relative_to(root)))
    _write(root, files, planned)
    return planned


def _everything_is_planned(root: Path, params: RunParams, guarded: Mapping[int, Node], plans: Plans) -> bool:
    plan = StagePlan(root)
    return all(plan.holds(node) for node in run_nodes(params, guarded, plans))


def _restored(root: Path, nodes: list[Node]) -> dict[str, str]:
    """The dvc.yaml of a folder whose own is missing or damaged, with the stages that are recorded there."""
    entries = _recorded_entries(root, nodes)
    return {f"{nodes[0].folder}/{PLAN}": render(nodes[0].folder, entries)} if entries else {}


def _recorded_entries(root: Path, nodes: list[Node]) -> dict[str, Any]:
    recorded = recorded_stages(root / nodes[0].folder)
    return {node.stage: stage_entry(node) for node in nodes if node.stage in recorded}


def _completed(nodes: list[Node], stages: Mapping[str, Any]) -> dict[str, str]:
    """The dvc.yaml of an epoch that is begun, with the stages that are still to come."""
    entries = {node.stage: stages.get(node.stage) or stage_entry(node) for node in nodes}
    return {f"{nodes[0].folder}/{PLAN}": render(nodes[0].folder, entries)}


def _resolved_is_unusable(root: Path, run: str, *, tracked_anew: bool) -> bool:
    """Whether the run's params.yaml cannot be read or, with `tracked_anew`, lacks a key that stages depend on today."""
    path = root / run_folder(run) / PARAMS
    try:
        content = load_yaml(path)
    except Refusal:
        return path.exists()
    return tracked_anew and not all(has(content, key) for stage in of_runs() for key in keys_of(stage.name))


def _recorded_keys(root: Path, nodes: Iterable[Node], values: Mapping[str, Any]) -> dict[str, list[str]]:
    """By stage, the keys in its record, for the stages whose record lacks only keys that are at their default."""
    found = {}
    for node in nodes:
        entry = recorded_stages(root / node.folder).get(node.stage)
        if entry is not None and node.keys:
            keys = [key for params in entry.get("params", {}).values() for key in params]
            if not unrecorded(node.keys, keys, values):
                found[node.stage] = keys
    return found


def refuse_other_plan(root: Path, params: RunParams) -> list[int]:
    """The recorded epochs, refused where `params` would drop a whole one or give one other stages."""
    done = epochs_with(root / run_folder(params.run), LOCK)
    _refuse_fewer(whole_epochs(root / run_folder(params.run)), params)
    for epoch in done:
        if params.start < epoch <= params.epochs:
            _refuse_other_structure(root, params, epoch)
    return done


def half_pruned(folder: Path) -> bool:
    """Whether a kill left an epoch with a guard in its dvc.yaml that is not recorded; nothing is deleted by then."""
    return mentions_guard(folder / PLAN) and PRUNED not in recorded_stages(folder)


def half_pruned_epochs(root: Path, params: RunParams) -> list[int]:
    """The numbers of the epochs that are `half_pruned`."""
    return [epoch for epoch in own_epochs(params) if half_pruned(root / epoch_folder(params.run, epoch))]


def _refuse_fewer(whole: list[int], params: RunParams) -> None:
    if whole and whole[-1] > params.epochs:
        raise Refusal(
            f"params.yaml: epochs: {params.epochs} is fewer than the {whole[-1]} recorded for run "
            f"{params.run}; nothing was deleted: --epochs {whole[-1]}, or `python -m pipeline branch "
            f"--from {params.run}@{params.epochs} --run NAME --epochs {params.epochs}`"
        )


def _refuse_other_structure(root: Path, params: RunParams, epoch: int) -> None:
    folder = root / epoch_folder(params.run, epoch)
    stages: Mapping[str, Any] | None = planned_stages(folder)
    if stages is None:
        # Its dvc.yaml will be written again; until then its record tells, which may hold only some of its stages.
        stages = recorded_stages(folder)
        same = set(stages) <= {PRUNED, *(node.stage for node in epoch_nodes(params, epoch))}
        key = "recipe" if of_other_recipe(params, stages) else None
    else:
        key = misfit(params, epoch, stages)
        same = key is None
    if key == "recipe":
        raise Refusal(
            f"params.yaml: recipe: epoch {epoch} of run {params.run} was made by another than {params.recipe}: "
            f"`python -m pipeline run --run NAME --dataset {params.pictures.name} --set recipe={params.recipe}` "
            "begins a run by that"
        )
    if not same:
        raise Refusal(
            f"params.yaml: cluster.every: epoch {epoch} of run {params.run} is recorded with the stages "
            f"{', '.join(sorted(stages))}; `python -m pipeline branch --from {params.run}@{epoch - 1} "
            f"--run NAME --set cluster.every={params.cluster.every}`"
        )


def _write(root: Path, files: dict[str, str], planned: Planned) -> None:
    for name, content in files.items():
        path = root / name
        if path.exists() and path.read_bytes() == content.encode():
            planned.kept += 1
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.encode())
        planned.written.append(name)
