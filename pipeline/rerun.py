"""`rerun`: runs one stage again, whether or not it is up to date."""

from __future__ import annotations

from pathlib import Path

from pipeline.evaluation_data import with_data
from pipeline.machine import folders_of, refuse_read_only, refuse_unwritable
from pipeline.recomputing import refuse_repacking, refuse_stale_packs
from pipeline.recording.inspector import Inspector, nodes_on_disk
from pipeline.recording.planning import write_dataset, write_run
from pipeline.settings import Settings
from stages.artifacts.run_params import load_run_params, with_evaluations
from stages.dag.data import dataset_nodes, datasets
from stages.dag.declared import declared
from stages.dag.epochs import own_epochs, spans
from stages.dag.folders import dataset_folder, evaluation_folder, run_folder, set_folder
from stages.dag.names import PLAN
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.parameters.differences import changes
from stages.parameters.run import RunParams
from stages.runtime.job import load_dataset_params
from stages.runtime.report import Reporter
from stages.words import plural


def rerun(
    root: Path, run_name: str, stage: str, epoch: str | None, follow: bool, report: Reporter, *, yes: bool = False
) -> None:
    """Runs one stage of a run, or of its data, again.

    Args:
        stage: its name, or in its place that of an evaluation or of an evaluation set.
        epoch: number of its epoch, or "final"; None for a stage outside of epochs.
        follow: whether to run then what depends on it, too.
        yes: whether to pack although recorded epochs would have to be computed again.

    Raises:
        Refusal: there is no such stage there, its epoch is pruned, params.yaml was edited since the run was planned, or
            recorded epochs would lose their pictures and `yes` is False.
    """
    from pipeline.recording.engine import Engine

    params, _ = with_data(root, with_evaluations(root, load_run_params(root / run_folder(run_name))))
    _refuse_edits(root, params)
    refuse_read_only(root, folders_of(params))
    nodes = nodes_on_disk(root, params)
    if pruned := [node for node in nodes if node.stage == PRUNED and epoch and _is_epoch(node.folder, epoch)]:
        kept = ", ".join(sorted(Path(out.path).name for out in pruned[0].outs.values()))
        raise Refusal(f"epoch {pruned[0].epoch} of run {run_name} is pruned and keeps {kept}: no stage can run there")
    chosen = [node for node in nodes if node.stage == stage and _is_epoch(node.folder, epoch)]
    if (name := evaluation_folder(run_name, stage)) in (node.folder for node in nodes):
        chosen = [node for node in nodes if node.folder == name]
    elif not chosen:
        chosen = [node for node in nodes if node.folder == set_folder(stage) and node.stage == "index"]
    elif all(node.run is None for node in chosen) and declared()[stage].place != "evaluation set":
        # The run's own data set comes first.
        chosen = chosen[:1]
    if not chosen:
        have = f"final or {spans(own_epochs(params))}" if own_epochs(params) else "final"
        stages = ", ".join(dict.fromkeys(node.stage for node in nodes if node.stage != PRUNED))
        where = f" in epoch {epoch}" if epoch else ""
        raise Refusal(f"run {run_name} has no stage {stage}{where}; stages: {stages}; epochs: {have}")
    if len(chosen) > 1:
        if chosen[0].epoch is None:
            names = ", ".join(Path(node.folder).name for node in chosen)
            raise Refusal(f"stage {stage} is in several folders: give in its place one of {names}")
        raise Refusal(f"stage {stage} is in every epoch: name one with --epoch N, or --epoch final")
    if stage == "pack":
        refuse_repacking(root, load_dataset_params(root, Path(chosen[0].folder).name), yes=yes)
    data = [node for node in nodes if node.run is None]
    if follow:
        others = [load_dataset_params(root, dataset.name) for dataset in datasets(params)]
        refuse_stale_packs(root, Inspector(root, params).states(data), others, yes=yes)
    with Engine(root, run_name, report) as engine:
        count = 0
        if chosen[0].run is None:
            own = [node for node in data if node.folder == chosen[0].folder]
            count += engine.provide(own, force=chosen[0].stage)
        if follow:
            # Before the run's stages hold the pictures.
            count += engine.provide(data)
        if chosen[0].run is not None:
            count += engine.execute(chosen, params, {chosen[0].id})
        if follow:
            later = nodes[nodes.index(chosen[0]) + 1 :]
            count += engine.execute([node for node in later if node.run], params)
            # What was missing may be made by now: then nothing is unfinished.
            write_run(root, params, ahead=False)
    report.say(f"{chosen[0].id} is made again" + (f", {plural(count, 'stage')} run in all" if follow else ""))


def _refuse_edits(root: Path, params: RunParams) -> None:
    settings = Settings(root)
    if params.run in settings.runs() and (edited := changes(params, settings.resolve(params.run))):
        raise Refusal(
            f"params.yaml gives run {params.run} another {', '.join(key for key, _ in edited)} than it was planned "
            f"with: `python -m pipeline run --run {params.run}` computes what depends on it"
        )


def _is_epoch(folder: str, epoch: str | None) -> bool:
    if epoch is None:
        return True
    name = Path(folder).name
    return name == epoch or (epoch.isdecimal() and name.isdecimal() and int(name) == int(epoch))


def rerun_pack(root: Path, dataset: str, report: Reporter, *, yes: bool = False) -> None:
    """Packs a data set again without naming a run.

    Args:
        yes: whether to pack although recorded epochs would have to be computed again.

    Raises:
        Refusal: there is no such data set, or recorded epochs would have to be computed again and `yes` is False.
    """
    from pipeline.recording.engine import Engine

    params = load_dataset_params(root, dataset)
    refuse_unwritable(root / dataset_folder(dataset))
    refuse_repacking(root, params, yes=yes)
    write_dataset(root, params, ahead=(root / dataset_folder(dataset) / PLAN).exists())
    with Engine(root, None, report) as engine:
        engine.provide(dataset_nodes(params), force="pack")
    report.say(f"data set {dataset} is packed again")
