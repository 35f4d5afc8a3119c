"""`branch`: a new run that starts from an epoch of another."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.drift import Source, image_count
from pipeline.machine import refuse_links, refuse_read_only
from pipeline.recording.inspector import Inspector, nodes_on_disk
from pipeline.recording.planning import write_run
from pipeline.settings import Settings
from stages.artifacts.documents import write_json
from stages.artifacts.records import pruned_record
from stages.artifacts.run_params import load_run_params
from stages.artifacts.writing import link
from stages.dag.epochs import clustered_epoch, epochs_with_checkpoint, spans
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.names import ASSIGNMENTS, BRANCH, CENTROIDS, CHECKPOINT, PSEUDOLABELS
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, PooledNetwork
from stages.parameters.checks import check_counts
from stages.parameters.differences import as_values
from stages.parameters.keys import default_of, flat, has, leaves, lookup
from stages.parameters.named import refuse_name
from stages.parameters.resolution import FILLED_IN, SETTLED
from stages.parameters.run import RunParams, parse_branch, run_params_class
from stages.runtime.locks import only_writer

BEGUN = ".branch"
"""In the folder of a run that is being made: what it starts from."""


def branch(root: Path, source: str, name: str, sets: list[str], epochs: int | None) -> RunParams:
    """Creates run `name` from `RUN@EPOCH`, with that run's parameters and what `sets` changes.

    The epoch's checkpoint and assignments are linked (copied where links are refused) into the
    new run, with their digests; DVC sees no dependency between the two.

    Raises:
        Refusal: no such epoch, or a run of that name exists.
    """
    origin, epoch = parse_branch(source)
    refuse_name(name)
    settings = Settings(root)
    _refuse_existing(root, settings, name, source)
    parent = load_run_params(root / run_folder(origin))
    files = _files(root, parent, epoch, [ASSIGNMENTS] if epoch else [])
    _refuse_stale(root, parent, epoch)
    kept = {"branch": source, "epochs": epochs if epochs is not None else max(parent.epochs, epoch)}
    settings.put(f"runs.{name}", _differing(parent, settings.content) | kept)
    if origin in settings.runs() and "retain" in (own := settings.content["runs"][origin] or {}):
        # The run's own file lacks it, since no stage depends on it.
        settings.put(f"runs.{name}.retain", dict(own["retain"] or {}))
    for assignment in sets:
        settings.set_text(name, assignment)
    params = settings.resolve(name)
    if 1 < params.cluster.every == parent.cluster.every:
        # Counted from its own first epoch, it would be clustered in other epochs than its parent.
        settings.put(f"runs.{name}.cluster.counted_from", parent.cluster.counted_from or parent.start + 1)
        params = settings.resolve(name)
    if epoch and clustered_epoch(params, epoch + 1) == epoch:
        # Its first epochs train on what their parent's would have.
        own = [PSEUDOLABELS] if params.whitens else [PSEUDOLABELS, CENTROIDS]
        files |= _files(root, parent, epoch, own)
    if _shape(params) != _shape(parent) or params.dataset is None:
        raise Refusal(
            f"--set: a branch keeps the network, the recipe and the data set of {source}; make a new run for others"
        )
    refuse_links(root, params)
    refuse_read_only(root, [run_folder(name)], params=True)
    check_counts(params, image_count(Source(root, params.dataset)))
    with only_writer(root / run_folder(name), f"run {name}"):
        target = root / epoch_folder(name, epoch)
        (root / run_folder(name) / BEGUN).write_text(source)
        target.mkdir(parents=True, exist_ok=True)
        digests = {}
        try:
            for file, path in files.items():
                link(path, target / file)
                with open(path, "rb") as opened:
                    digests[file] = hashlib.file_digest(opened, "sha256").hexdigest()
            write_json(target / BRANCH, {"from": source, "sha256": digests})
            settings.save()
        except Refusal:
            # Not yet in params.yaml: the same command must find no run of that name.
            shutil.rmtree(root / run_folder(name))
            raise
        write_run(root, params, ahead=False)
        (root / run_folder(name) / BEGUN).unlink()
    return params


def _refuse_existing(root: Path, settings: Settings, name: str, source: str) -> None:
    """Refuses a name that is taken, but by a branch from the same epoch that was stopped before it was whole."""
    folder = root / run_folder(name)
    try:
        begun = (folder / BEGUN).read_text()
    except FileNotFoundError:
        # Stopped before the mark was made, it left no more than its lock.
        if name in settings.runs() or (folder.exists() and any(path.name != ".lock" for path in folder.iterdir())):
            raise Refusal(f"run {name} exists already; choose another --run") from None
        return
    if begun not in ("", source):
        raise Refusal(
            f"run {name} was begun as a branch of {begun}, and stopped: branch from there, or "
            f"`python -m pipeline remove {name} --yes`"
        )


def _shape(params: RunParams) -> tuple[object, ...]:
    """What a checkpoint and assignments fit: the network's layers, the recipe, and the pictures."""
    model = params.model
    # Such a network ends in an average, so its weights fit any input.
    side = None if isinstance(ARCHITECTURES[model.architecture], PooledNetwork) else model.input
    network = model.architecture, model.sobel, model.width, side, *model.projection
    return *network, params.recipe, params.dataset and params.dataset.name


def _files(root: Path, parent: RunParams, epoch: int, clustering: list[str]) -> dict[str, Path]:
    """The epoch's checkpoint, and files of the clustering that it was trained on."""
    files = {CHECKPOINT: root / epoch_folder(parent.run, epoch) / CHECKPOINT}
    clustered = root / epoch_folder(parent.run, clustered_epoch(parent, epoch))
    files |= {name: clustered / name for name in clustering}
    for path in files.values():
        if not path.exists() and pruned_record(path.parent) is not None:
            having = spans(epochs_with_checkpoint(root / run_folder(parent.run)))
            raise Refusal(
                f"epoch {epoch} of run {parent.run} is pruned and has no {path.name}; epochs with one: {having}"
            )
        if not path.exists():
            raise Refusal(
                f"{path} is missing: epoch {epoch} of run {parent.run} is not finished; "
                f"`python -m pipeline status --run {parent.run}` says which are"
            )
    return files


def _refuse_stale(root: Path, parent: RunParams, epoch: int) -> None:
    """Stops where the epoch was made with other parameters than the run now has."""
    nodes = [node for node in nodes_on_disk(root, parent) if node.in_epoch and (node.epoch or 0) <= epoch]
    for status in Inspector(root, parent).states(nodes):
        if status.state == "stale":
            raise Refusal(
                f"epoch {epoch} of run {parent.run} is not what its parameters ask for: "
                f"{status.node.folder}:{status.node.stage} is stale ({status.why}); "
                f"`python -m pipeline run --run {parent.run}` makes it again"
            )


def _differing(parent: RunParams, root: Mapping[str, Any]) -> dict[str, Any]:
    """The parent's parameters that are not the defaults of all runs; what its method does not use is left out."""
    found: dict[str, Any] = {}
    # `resolve` gives these, whatever is written.
    unused = set(flat(SETTLED[parent.recipe])) | {
        key for key in leaves(run_params_class()) if key.startswith(FILLED_IN)
    }
    if root.get("dataset") != parent.pictures.name:
        found["dataset"] = parent.pictures.name
    for key, value in flat(as_values(parent)).items():
        section, _, last = key.rpartition(".")
        if value is None or key in unused or key.split(".")[0] in ("run", "revision", "branch", "dataset", "epochs"):
            continue
        if value != (lookup(root, key) if has(root, key) else default_of(run_params_class(), key)):
            place = found
            for name in section.split(".") if section else ():
                place = place.setdefault(name, {})
            place[last] = value
    return found
