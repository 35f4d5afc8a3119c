"""What a user asks of a run, resolved and checked in memory before a file is touched."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.drift import Source, adopted_path, drift, image_count, same_source
from pipeline.evaluation_data import with_data
from pipeline.machine import folders_of, refuse_device, refuse_links, refuse_read_only
from pipeline.presets import Looked, describe, fit_values, look, run_values, warn_of_few
from pipeline.recomputing import refuse_past_schedule, refuse_pruned, refuse_recomputing, refuse_stale_packs
from pipeline.recording.inspector import NodeStatus, of_run
from pipeline.recording.planning import refuse_other_plan
from pipeline.recording.stage_plan import StagePlan
from pipeline.retention.policy import describe as describe_policy
from pipeline.retention.space import space
from pipeline.settings import Settings
from pipeline.starting import Start, refuse_other_start, refuse_weights, start
from stages.dag.data import datasets
from stages.dag.epochs import own_epochs
from stages.dag.folders import dataset_folder
from stages.dag.graph import BASELINE, root_nodes
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.parameters.checks import check_counts
from stages.parameters.dataset import DatasetParams
from stages.parameters.named import no_run, refuse_name
from stages.parameters.resolution import merge, resolve_dataset
from stages.parameters.run import RunParams
from stages.sources.entries import Listing
from stages.sources.listing import list_dataset
from stages.words import plural, size


@dataclass
class Request:
    """What a user asks of a run, on the command line."""

    run: str
    epochs: int | None = None
    images: Path | None = None
    preset: str = "fit"
    sets: list[str] = field(default_factory=list)
    yes: bool = False
    dataset: str | None = None
    weights: str | None = None
    evaluations: list[str] = field(default_factory=list)


def baseline_of(params: RunParams) -> Request:
    """The demo's baseline, evaluated as the demo is."""
    return Request(BASELINE, evaluations=[evaluation.name for evaluation in params.evaluations])


@dataclass
class New:
    """A new run: what was seen of its pictures, their listing where they are not packed yet, and its given weights."""

    looked: Looked | None = None
    listing: Listing | None = None
    start: Start | None = None


@dataclass
class Prepared:
    """A run that has passed every check; nothing of it is written yet."""

    settings: Settings
    params: RunParams
    states: list[NodeStatus]
    lines: list[str]


def prepare(root: Path, request: Request, *, elsewhere: bool = False) -> Prepared:
    """Resolves and checks a run in memory.

    Args:
        elsewhere: it is not this machine that is going to compute it.

    Raises:
        Refusal: anything that would fail later, before a file is touched.
    """
    settings = Settings(root)
    new = _enter(settings, root, request)
    params, absent = with_data(root, settings.resolve(request.run))
    _refuse_without_tables(root, settings, params)
    refuse_links(root, params)
    refuse_read_only(root, folders_of(params), params=settings.changed)
    source = Source(root, params.dataset) if params.dataset else None
    count = 0
    if source is not None:
        if new is not None and new.listing is not None:
            source.listing = new.listing
        count = image_count(source)
        check_counts(params, count)
    refuse_other_plan(root, params)
    # It imports torch, which what is refused above need not wait for.
    device = None if elsewhere else refuse_device(params)
    states = of_run(root, params, settings.content)
    refuse_pruned(root, params, states)
    refuse_stale_packs(root, states, datasets(params), yes=request.yes, besides=params)
    refuse_weights(root, params, states, request.weights, _command(request))
    needed = space(root, params, count, states)
    refuse_recomputing(root, params, states, yes=request.yes)
    told = [
        *_of_pictures(params, new),
        f"run {params.run} goes on as it was begun: --preset {request.preset} is for new runs"
        if new is None and request.preset != "fit"
        else None,
        new.start.told(params.run) if new is not None and new.start is not None else None,
        f"run {params.run}: {_to_compute(states, params, count)}; needs about {size(needed.needed * 1e9)}, "
        f"{size(needed.free * 1e9)} are free"
        + (f"; {describe_policy(params.retain)}" if params.retain.last is not None else ""),
        device,
        drift(source) if source else None,
        *(f"evaluation {name} is left out: {why}" for name, why in absent.items()),
    ]
    return Prepared(settings, params, states, [line for line in told if line])


def _of_pictures(params: RunParams, new: New | None) -> list[str | None]:
    """What to tell of the pictures of a new run."""
    if new is None or new.looked is None:
        return []
    return [describe(params, new.looked), warn_of_few(params, new.looked) if new.start is None else None]


def _refuse_without_tables(root: Path, settings: Settings, params: RunParams) -> None:
    """Stops before the demo is trained for tables that cannot be made."""
    for node in root_nodes(params):
        StagePlan(root).holds(node)
    if root_nodes(params) and params.evaluations and BASELINE not in settings.runs():
        raise Refusal(
            f"run {params.run}: its tables have a row of run {BASELINE}, which params.yaml lacks: put "
            f"`{BASELINE}: {{epochs: 0, dataset: null}}` under `runs`, or add --set evaluations=[]"
        )


def _enter(settings: Settings, root: Path, request: Request) -> New | None:
    """Puts what is asked for into the settings; the pictures of a new run."""
    new = None
    refuse_name(request.run)
    if request.images is not None:
        new = _adopt(settings, root, request)
    elif request.dataset is not None:
        new = _adopt_packed(settings, root, request, request.dataset)
    elif request.weights is not None and request.epochs == 0 and request.run not in settings.runs():
        new = _without_pictures(settings, root, request)
    elif request.preset != "fit":
        raise Refusal(
            f"--preset {request.preset}: it fits a new run to its pictures; add --images FOLDER or --dataset NAME"
        )
    elif request.run not in settings.runs():
        raise no_run(request.run, settings.runs())
    if request.weights is not None and new is None:
        moved = refuse_other_start(root, settings.resolve(request.run), request.weights)
        if moved is not None:
            settings.put(f"runs.{request.run}.init.weights", moved)
    for assignment in request.sets:
        settings.set_text(request.run, assignment)
    if request.epochs is not None:
        settings.put(f"runs.{request.run}.epochs", request.epochs)
        if new is None:
            refuse_past_schedule(root, request.run, request.epochs, request.sets, yes=request.yes)
    if new is not None and _set(request, "train.horizon") is None:
        _end_schedule(settings, request.run)
    settings.add_evaluations(request.run, request.evaluations)
    return new


def _adopt(settings: Settings, root: Path, request: Request) -> New | None:
    """Enters a new run on a folder into the settings, with values that fit it; None where it is there already."""
    name, images = request.run, request.images
    assert images is not None
    known = settings.datasets().get(name)
    if name in settings.runs():
        if known is not None and same_source(root, known, images):
            return None
        key = f"datasets.{settings.dataset_of(name)}.path"
        raise Refusal(
            f"run {name} exists already, on other pictures; choose another --run, or drop --images to go on with it; "
            f"if its pictures have moved there: `python -m pipeline run --run {name} --set "
            f"{shlex.quote(f'{key}={adopted_path(root, images)}')}`"
        )
    users = [f"run {run}" for run in settings.runs_on(name)]
    users += [f"evaluation {each}" for each in settings.evaluations_on(name)]
    if known is not None and users:
        raise Refusal(
            f"datasets.{name} is there already, for {', '.join(users)}: choose another --run, or give its pictures by "
            f"--dataset {name}"
        )
    probe = DatasetParams(name=name, path=adopted_path(root, images), size=8)
    listing = list_dataset(root, probe, root / dataset_folder(name))
    looked = look(listing)
    begun = _start(root, request, f"--images {shlex.quote(str(images))}")
    network = begun.model if begun else None
    overrides, dataset = fit_values(looked, request.preset, _device(settings, request), network)
    settings.put(f"datasets.{name}", {"path": probe.path, **dataset})
    settings.put(f"runs.{name}", {"dataset": name, **overrides, **(begun.values if begun else {})})
    return New(looked, listing, begun)


def _adopt_packed(settings: Settings, root: Path, request: Request, dataset: str) -> New | None:
    """Enters a new run on a data set that is there; None where the run is there already."""
    name = request.run
    refuse_name(name)
    if name in settings.runs():
        if settings.dataset_of(name) == dataset:
            return None
        raise Refusal(
            f"run {name} exists already, on data set {settings.dataset_of(name)}; choose another --run, or drop "
            "--dataset to go on with it"
        )
    known = settings.datasets()
    if dataset not in known:
        raise Refusal(
            f"--dataset {dataset}: there is no such data set (known: {', '.join(map(str, known))}); new pictures are "
            f"given by --images FOLDER"
        )
    params = resolve_dataset(settings.content, dataset)
    count = image_count(Source(root, params))
    begun = _start(root, request, f"--dataset {dataset}")
    network = begun.model if begun else None
    overrides = run_values(count, params.size, request.preset, _device(settings, request), network)
    settings.put(f"runs.{name}", {"dataset": dataset, **overrides, **(begun.values if begun else {})})
    return New(Looked(count, count, params.size), start=begun)


def _without_pictures(settings: Settings, root: Path, request: Request) -> New:
    """Enters a new run of given weights alone, which is there to be evaluated, into the settings."""
    begun = _start(root, request, "")
    assert begun is not None
    features = ARCHITECTURES[begun.model.architecture].features(begun.model.width)
    network = {"model": begun.model.model_dump(exclude={"projection"}), "whiten": {"dim": min(256, features)}}
    settings.put(f"runs.{request.run}", {"dataset": None, "epochs": 0, **network, **begun.values})
    return New(start=begun)


def _end_schedule(settings: Settings, run: str) -> None:
    """Lets a cosine schedule of a new run end with its last epoch, however many were asked for."""
    own = merge(settings.content, settings.content["runs"][run])
    train, epochs = own.get("train"), own.get("epochs")
    # Anything else is about to be refused.
    if isinstance(train, Mapping) and train.get("schedule") == "cosine" and isinstance(epochs, int):
        settings.put(f"runs.{run}.train.horizon", max(1, epochs))


def _start(root: Path, request: Request, pictures: str) -> Start | None:
    """The weights that a new run begins with."""
    if request.weights is None:
        return None
    return start(root, request.weights, _command(request, pictures))


def _command(request: Request, pictures: str = "") -> str:
    """The command that asks for the same, but for its weights."""
    words = ["python -m pipeline run --run", request.run, pictures]
    words.append("" if request.epochs is None else f"--epochs {request.epochs}")
    words.append("" if request.preset == "fit" else f"--preset {request.preset}")
    words += [f"--set {shlex.quote(each)}" for each in request.sets]
    return " ".join(filter(None, words))


def _device(settings: Settings, request: Request) -> str:
    """The device that a new run will have."""
    return _set(request, "device") or str(settings.content.get("device", "cpu"))


def _set(request: Request, key: str) -> str | None:
    """The text that the last `--set KEY=…` gives a key; None where none does."""
    pairs = (assignment.partition("=") for assignment in request.sets)
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}.get(key)


def _to_compute(states: list[NodeStatus], params: RunParams, pictures: int) -> str:
    if params.dataset is None:
        return "a network without pictures of its own, to be evaluated"
    unfinished = {s.node.epoch for s in states if s.state != "done" and s.node.in_epoch}
    own = set(own_epochs(params))
    left = len(unfinished & own)
    if own and not left:
        return f"{plural(pictures, 'picture')}, {plural(len(own), 'epoch')} computed"
    return f"{plural(pictures, 'picture')}, {left} of {plural(params.epochs, 'epoch')} to compute"
