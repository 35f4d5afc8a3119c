"""Stops before recorded epochs are lost: which, how many hours they took, and how to keep them."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterable
from pathlib import Path

from pipeline.drift import Source, since_packed
from pipeline.recording.inspector import NodeStatus
from stages.artifacts.guards import reason
from stages.artifacts.records import pruned_record, recorded_stages
from stages.artifacts.run_params import load_run_params
from stages.dag.epochs import epochs_with, epochs_with_checkpoint, spans
from stages.dag.folders import dataset_folder, epoch_folder, run_folder
from stages.dag.names import CHECKPOINT, METRICS, TIMINGS
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.parameters.differences import as_option, as_values, changes
from stages.parameters.resolution import resolve_dataset
from stages.parameters.run import RunParams
from stages.words import duration, plural


def epochs_to_recompute(states: list[NodeStatus]) -> list[int]:
    """Recorded epochs that would be computed again."""
    return sorted(
        {
            status.node.epoch
            for status in states
            if status.state == "stale" and status.node.epoch and status.node.in_epoch
            if status.node.stage != PRUNED
        }
    )


def recorded_hours(root: Path, run: str, epochs: list[int]) -> float:
    """Hours that the epochs took, by timings.csv: the last time of each of their stages."""
    path = root / run_folder(run) / TIMINGS
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


def refuse_past_schedule(root: Path, run: str, epochs: int, sets: list[str], *, yes: bool) -> None:
    """Stops before a run becomes longer than the schedule of step sizes that its recorded epochs followed.

    A longer one has other step sizes from the first epoch on, so no recorded epoch would stay.

    Args:
        epochs: that are asked for.
        sets: what is asked for by `--set`.
    """
    folder = root / run_folder(run)
    recorded, checkpoints = _params_of(folder), epochs_with_checkpoint(folder)
    if recorded is None or not checkpoints or checkpoints[-1] <= recorded.start:
        return
    horizon = recorded.train.horizon
    other = any(each.strip().startswith(("train.horizon", "train.schedule")) for each in sets)
    if yes or other or horizon is None or horizon >= epochs:
        return
    others = "".join(f" --set {shlex.quote(each)}" for each in sets)
    raise Refusal(
        f"run {run}: its step size falls to 0 by epoch {horizon}: to go on to epoch {epochs}, `python -m pipeline "
        f"branch --from {run}@{checkpoints[-1]} --run NAME --epochs {epochs} --set train.horizon={epochs}{others}`"
    )


def refuse_pruned(root: Path, params: RunParams, states: list[NodeStatus]) -> None:
    """Stops where a pruned epoch is not what the parameters ask for: `--yes` could not compute it."""
    for status in states:
        if status.node.stage == PRUNED and status.state != "done" and not status.inherited:
            assert status.node.epoch is not None
            raise Refusal(reason(root, params.run, status.node.epoch, as_values(params)))
    pruned = [status.node.epoch for status in states if status.node.stage == PRUNED and status.node.epoch]
    packed = _of_pictures(params, states)
    stale = pruned and any(status.state == "stale" for status in packed)
    # Packed again to the same bytes, pictures that are gone leave everything as it is.
    if stale and params.dataset and (changed := _repacked(root, params.dataset)):
        raise Refusal(
            f"{changed}, and epochs of run {params.run} are pruned ({spans(pruned)}), which nothing computes again "
            f"from other pictures: restore that, or start another run on these: `{_another(params.dataset)}`"
        )


def refuse_recomputing(root: Path, params: RunParams, states: list[NodeStatus], *, yes: bool) -> None:
    """Stops before recorded epochs are lost, unless told to go on."""
    epochs = epochs_to_recompute(states)
    if not epochs or yes or _packing_tells(root, params, states):
        return
    stale = [status for status in states if status.state == "stale"]
    # What the whole run is resolved from differs wherever anything does: the cause is more than that.
    first = next((s for s in stale if s.node.stage != "resolve" and not s.inherited), stale[0])
    hours = recorded_hours(root, params.run, epochs)
    raise Refusal(
        f"{plural(len(epochs), 'recorded epoch')} of run {params.run} ({spans(epochs)}, {duration(hours * 3600)}) "
        f"would be computed again, because of {first.node.folder}:{first.node.stage} ({first.why}): add --yes"
        + _keeping(root, params, states, epochs[0] - 1)
    )


def _packing_tells(root: Path, params: RunParams, states: list[NodeStatus]) -> bool:
    """Whether only packing can tell if an epoch is lost, and would replace no pictures but equal ones.

    Packed pictures that are missing, another path to the same files, a newer program: what comes out is compared with
    what the epochs were made from once it is packed.
    """
    pictures = _of_pictures(params, states)
    if params.dataset is None or all(status.state == "done" for status in pictures):
        return False
    made = {out.path for status in pictures for out in status.node.outs.values()}
    gone = {f"{path} changed" for path in made if not (root / path).exists()}
    others = [
        status
        for status in states
        if status.state == "stale" and not status.inherited and status.why not in gone
        if status.node.epoch is not None and not status.node.in_final
    ]
    return not others and _repacked(root, params.dataset) is None


def _of_pictures(params: RunParams, states: list[NodeStatus]) -> list[NodeStatus]:
    """The states of the stages of the run's own data set."""
    folder = dataset_folder(params.dataset.name) if params.dataset else None
    return [status for status in states if status.node.folder == folder]


def _keeping(root: Path, params: RunParams, states: list[NodeStatus], epoch: int) -> str:
    """How the epochs up to one are kept, where anything can keep them."""
    pictures = params.pictures
    if any(status.state != "done" for status in _of_pictures(params, states)) or any(
        status.why.startswith(f"{dataset_folder(pictures.name)}/") and not status.inherited for status in states
    ):
        return f", or start another run on these pictures: `{_another(pictures)}`"
    epoch = max(params.start, epoch)
    if not (root / epoch_folder(params.run, epoch) / CHECKPOINT).exists():
        return ""
    changed = _as_options(root, params)
    return f", or keep them with `python -m pipeline branch --from {params.run}@{epoch} --run NAME{changed}`"


def refuse_stale_packs(
    root: Path,
    states: Iterable[NodeStatus],
    of: Iterable[DatasetParams],
    *,
    yes: bool,
    besides: RunParams | None = None,
) -> None:
    """As `refuse_repacking`, for those of some data sets whose packing is stale.

    Args:
        states: among them those of the data sets' stages.
        besides: a run that is not looked at, as far as its own pictures are concerned.
    """
    stale = {status.node.folder for status in states if status.node.stage == "pack" and status.state == "stale"}
    for dataset in of:
        if dataset_folder(dataset.name) in stale:
            # Other runs may have theirs from the same data set.
            own = besides.run if besides is not None and dataset == besides.dataset else None
            refuse_repacking(root, dataset, yes=yes, besides=own)


def refuse_repacking(root: Path, dataset: DatasetParams, *, yes: bool, besides: str | None = None) -> None:
    """Stops before the pictures of recorded epochs give way to others, unless told to go on.

    Args:
        besides: a run that is not looked at.
    """
    changed = None if yes else _repacked(root, dataset)
    if changed is None:
        return
    losing = []
    for folder in sorted(root.glob("data/runs/*")):
        epochs = epochs_with(folder, METRICS)
        params = _params_of(folder) if epochs and folder.name != besides else None
        if params is not None and params.dataset and params.dataset.name == dataset.name:
            hours = recorded_hours(root, folder.name, epochs)
            # What a branch starts from belongs to its former pictures; of a pruned epoch nothing is left to begin with.
            pruned = any(pruned_record(root / epoch_folder(folder.name, epoch)) for epoch in epochs)
            lost = " and lost, being of a branch" if params.branch else " and lost, being pruned" if pruned else ""
            losing.append(
                f"run {folder.name} ({plural(len(epochs), 'epoch')}: {spans(epochs)}, {duration(hours * 3600)}{lost})"
            )
    if losing:
        raise Refusal(
            f"{changed}: packed again, they replace the pictures of {' and '.join(losing)}, to be computed again: add "
            f"--yes, or start another run on them: `{_another(dataset)}`"
        )


def _another(dataset: DatasetParams) -> str:
    return f"python -m pipeline run --run NAME --images {shlex.quote(dataset.path)}"


def _repacked(root: Path, dataset: DatasetParams) -> str | None:
    """What packing again would change in the pictures; None where nothing, or where that cannot be told."""
    key = f"datasets.{dataset.name}"
    recorded = recorded_stages(root / dataset_folder(dataset.name)).get("pack", {}).get("params", {}).values()
    entry = next((values[key] for values in recorded if key in values), None)
    try:
        if entry is not None:
            before = resolve_dataset({"datasets": {dataset.name: entry}}, dataset.name).model_dump()
            edited = [name for name, value in dataset.model_dump().items() if value != before[name]]
            # Pictures that have moved are told by their content.
            if edited and (edited != ["path"] or dataset.generate is not None):
                return f"{key}.{edited[0]} has changed since they were packed"
        return since_packed(Source(root, dataset))
    except Refusal:
        # The source is not there, which packing refuses, or the files of the former packing, which it mends.
        return None


def _params_of(folder: Path) -> RunParams | None:
    """A run's parameters, or None where they cannot be read."""
    try:
        return load_run_params(folder)
    except Refusal:
        return None


def _as_options(root: Path, params: RunParams) -> str:
    """The options of a branch that give it what `params` changes in the recorded run."""
    recorded = _params_of(root / run_folder(params.run))
    if recorded is None:
        return ""
    epochs = f" --epochs {params.epochs}" if params.epochs != recorded.epochs else ""
    return epochs + "".join(as_option(key, value) for key, value in changes(recorded, params))
