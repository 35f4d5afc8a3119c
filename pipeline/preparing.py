"""What a user asks of a run, resolved and checked in memory before a file is touched."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.drift import Source, adopted_path, drift, image_count, same_source
from pipeline.machine import refuse_links, refuse_read_only
from pipeline.presets import Looked, describe, fit_values, look, run_values
from pipeline.recomputing import refuse_pruned, refuse_recomputing, refuse_repacking
from pipeline.recording.inspector import NodeStatus, of_run
from pipeline.recording.planning import refuse_other_plan
from pipeline.retention.policy import describe as describe_policy
from pipeline.retention.space import space
from pipeline.settings import Settings
from stages.dag.epochs import own_epochs
from stages.dag.folders import dataset_folder
from stages.errors import Refusal
from stages.parameters.checks import check_counts
from stages.parameters.dataset import DatasetParams
from stages.parameters.named import no_run, refuse_name
from stages.parameters.resolution import resolve_dataset
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


@dataclass
class New:
    """The pictures of a new run: what was seen of them, and their listing where they are not packed yet."""

    looked: Looked
    listing: Listing | None = None


@dataclass
class Prepared:
    """A run that has passed every check; nothing of it is written yet."""

    settings: Settings
    params: RunParams
    states: list[NodeStatus]
    lines: list[str]


def prepare(root: Path, request: Request) -> Prepared:
    """Resolves and checks a run in memory.

    Raises:
        Refusal: anything that would fail later, before a file is touched.
    """
    settings = Settings(root)
    new = _enter(settings, root, request)
    params = settings.resolve(request.run)
    refuse_links(root, params)
    refuse_read_only(root, params.run, params.dataset.name, params=settings.changed)
    source = Source(root, params.dataset)
    if new is not None:
        source.listing = new.listing or source.listing
    count = image_count(source)
    check_counts(params, count)
    refuse_other_plan(root, params)
    states = of_run(root, params, settings.content)
    refuse_pruned(root, params, states)
    if any(status.node.stage == "pack" and status.state == "stale" for status in states):
        # Other runs may have theirs from the same data set.
        refuse_repacking(root, params.dataset, yes=request.yes, besides=params.run)
    needed = space(root, params, count, states)
    refuse_recomputing(root, params, states, yes=request.yes)
    told = [
        describe(params, new.looked) if new is not None else None,
        f"run {params.run}: {plural(count, 'picture')}, {_epochs_left(states, params)} of "
        f"{plural(params.epochs, 'epoch')} to compute; needs about {size(needed.needed * 1e9)}, "
        f"{size(needed.free * 1e9)} are free"
        + (f"; {describe_policy(params.retain)}" if params.retain.last is not None else ""),
        drift(source),
    ]
    return Prepared(settings, params, states, [line for line in told if line])


def _enter(settings: Settings, root: Path, request: Request) -> New | None:
    """Puts what is asked for into the settings; the pictures of a new run."""
    new = None
    refuse_name(request.run)
    if request.images is not None:
        new = _adopt(settings, root, request)
    elif request.dataset is not None:
        new = _adopt_packed(settings, root, request, request.dataset)
    elif request.preset != "fit":
        raise Refusal(
            f"--preset {request.preset}: it fits a new run to its pictures; add --images FOLDER or --dataset NAME"
        )
    elif request.run not in settings.runs():
        raise no_run(request.run, settings.runs())
    for assignment in request.sets:
        settings.set_text(request.run, assignment)
    if request.epochs is not None:
        settings.put(f"runs.{request.run}.epochs", request.epochs)
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
    probe = DatasetParams(name=name, path=adopted_path(root, images), size=8)
    listing = list_dataset(root, probe, root / dataset_folder(name))
    looked = look(listing)
    overrides, dataset = fit_values(looked, request.preset, _device(settings, request))
    settings.put(f"datasets.{name}", {"path": probe.path, **dataset})
    settings.put(f"runs.{name}", {"dataset": name, **overrides})
    return New(looked, listing)


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
    params = resolve_dataset(known[dataset], dataset)
    count = image_count(Source(root, params))
    overrides = run_values(count, params.size, request.preset, _device(settings, request))
    settings.put(f"runs.{name}", {"dataset": dataset, **overrides})
    return New(Looked(count, count, params.size))


def _device(settings: Settings, request: Request) -> str:
    """The device that a new run will have."""
    device = str(settings.content.get("device", "cpu"))
    for assignment in request.sets:
        key, _, value = assignment.partition("=")
        if key.strip() == "device":
            device = value.strip()
    return device


def _epochs_left(states: list[NodeStatus], params: RunParams) -> int:
    unfinished = {s.node.epoch for s in states if s.state != "done" and s.node.in_epoch}
    return len(unfinished & set(own_epochs(params)))
