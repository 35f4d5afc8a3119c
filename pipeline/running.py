"""`run`, `plan`, `prune` and `rerun`: check everything in memory, write it down, plan, then compute."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import needs
from pipeline.plan import Planned, half_pruned_epochs, refuse_other_plan, write_dataset, write_run
from pipeline.presets import described, fitting
from pipeline.retention import Freed, Retention
from pipeline.retention import described as described_policy
from pipeline.settings import Settings
from pipeline.sources import adopted_path, drift, image_count, same_source
from pipeline.status import NodeStatus, nodes_on_disk, of_run
from stages.artifacts import load_json, load_run_params
from stages.checks import check_counts, refuse_name
from stages.errors import Refusal
from stages.folders import dataset_folder, own_epochs, run_folder
from stages.graph import dataset_nodes, resolve_node
from stages.job import load_dataset_params
from stages.listing import Listing, list_source, refuse_inside, source_path
from stages.locks import only_writer
from stages.nodes import PRUNED
from stages.params import DatasetParams, RunParams
from stages.report import Reporter, duration
from stages.values import changes


@dataclass
class Request:
    """What a user asks of a run, on the command line."""

    run: str
    epochs: int | None = None
    images: Path | None = None
    preset: str = "fit"
    sets: list[str] = field(default_factory=list)
    yes: bool = False


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
    lines = []
    new = None
    if request.images is not None:
        new = _adopt(settings, root, request)
    elif request.preset != "fit":
        raise Refusal(f"--preset {request.preset}: it fits a new run to its pictures; add --images FOLDER")
    elif request.run not in settings.runs():
        raise Refusal(
            f"there is no run {request.run!r} (known: {', '.join(settings.runs())}); a new one needs its "
            f"pictures: python -m pipeline run --run {request.run} --images FOLDER"
        )
    for assignment in request.sets:
        settings.set_text(request.run, assignment)
    if request.epochs is not None:
        settings.put(f"runs.{request.run}.epochs", request.epochs)
    params = settings.resolve(request.run)
    if new is not None:
        lines.append(described(params, new))
    needs.refuse_links(root, params)
    count = image_count(root, params.dataset)
    check_counts(params, count)
    # Planning refuses this too; here nothing has been written yet.
    refuse_other_plan(root, params)
    states = of_run(root, params, settings.content)
    needs.refuse_pruned(root, params, states)
    found = needs.space(root, params, count, states)
    lines.append(
        f"run {params.run}: {count:,} pictures, {needs.epochs_left(states, params)} of {params.epochs} epochs to "
        f"compute; needs about {found.needed:.2f} GB, {found.free:.0f} GB are free"
        + (f"; {described_policy(params)}" if params.retain.last is not None else "")
    )
    needs.refuse_recomputing(root, params, states, yes=request.yes)
    changed = drift(root, params.dataset)
    if changed:
        lines.append(changed)
    return Prepared(settings, params, states, lines)


def _adopt(settings: Settings, root: Path, request: Request) -> Listing | None:
    """Enters a new run on a folder into the settings, with values that fit it; None where it is there already."""
    name, images = request.run, request.images
    assert images is not None
    refuse_name(name)
    known = settings.datasets().get(name)
    if name in settings.runs():
        if known is not None and same_source(root, known, images):
            return None
        raise Refusal(
            f"run {name} exists already, on other pictures; choose another --run, or drop --images to go on with it"
        )
    probe = DatasetParams(name=name, path=adopted_path(root, images), size=8)
    source = source_path(root, probe)
    refuse_inside(source, root / dataset_folder(name), probe)
    listing = list_source(source)
    device = str(settings.content.get("device", "cpu"))
    for assignment in request.sets:
        key, _, value = assignment.partition("=")
        if key.strip() == "device":
            device = value.strip()
    overrides, dataset = fitting(listing, request.preset, device)
    settings.put(f"datasets.{name}", {"path": probe.path, **dataset})
    settings.put(f"runs.{name}", {"dataset": name, **overrides})
    return listing


def plan(root: Path, request: Request, report: Reporter) -> Planned:
    """Writes parameters and dvc.yaml files, and computes nothing."""
    prepared = prepare(root, request)
    for line in prepared.lines:
        report.say(line)
    with only_writer(root / run_folder(request.run), f"run {request.run}"):
        prepared.settings.save()
        write_dataset(root, prepared.params.dataset)
        return write_run(root, prepared.params)


def run(root: Path, request: Request, report: Reporter) -> RunParams:
    """Computes what is not up to date, in this process, recording each stage."""
    from pipeline.execution import Engine

    prepared = prepare(root, request)
    params = prepared.params
    # From here on the run exists; what was refused before leaves no folder behind.
    report.log = root / run_folder(params.run) / "log.txt"
    for line in [*prepared.lines, needs.other_threads(root, params), needs.refuse_device(params)]:
        if line:
            report.say(line)
    started = time.monotonic()
    packing = dataset_nodes(params.dataset.name, generated=params.dataset.generate is not None)
    with Engine(root, params.run, report) as engine:
        prepared.settings.save()
        write_dataset(root, params.dataset)
        count = engine.pack(params.dataset)
        # Pictures may have been rejected: what was checked against the listing is checked again.
        packed = load_json(root / dataset_folder(params.dataset.name) / "pack.json")
        check_counts(params, packed["images"], packed["labelled"])
        write_run(root, params)
        nodes = [node for node in nodes_on_disk(root, params) if node.run]
        retention = Retention(root, params, engine.recorder)
        progress = report.progress(nodes, f"run {params.run}", len(nodes), lambda _: 1)
        # DVC takes a file of the recorded size and time for the recorded one.
        damaged = {status.node.id for status in prepared.states if status.damaged}
        count += engine.execute(progress, params, damaged, retention)
    if retention.freed.epochs:
        report.say(retention.freed.told(params.run))
    report.say(
        f"run {params.run}: {count} stages run in {duration(time.monotonic() - started)}, all "
        f"{len(nodes) + len(packing)} up to date"
        if count
        else f"run {params.run}: nothing to do, all stages are up to date"
    )
    return params


def prune(root: Path, run_name: str, sets: list[str], dry: bool, report: Reporter) -> Freed:
    """Prunes the finished epochs that `retain` drops; `dry`: only tells which.

    Raises:
        Refusal: a recorded epoch does not belong to the parameters that now hold.
    """
    from pipeline.execution import Engine

    settings = Settings(root)
    if other := next((text for text in sets if not text.strip().startswith("retain.")), None):
        raise Refusal(f"--set {other}: prune takes retain.last and retain.every alone; others go with `run`")
    load_run_params(root / run_folder(run_name))
    for assignment in sets:
        settings.set_text(run_name, assignment)
    params = settings.resolve(run_name)
    refuse_other_plan(root, params)
    states = of_run(root, params, settings.content)
    needs.refuse_pruned(root, params, states)
    needs.refuse_recomputing(root, params, states, yes=False)
    if dry:
        return _finished(Retention(root, params), states).would_free()
    with Engine(root, run_name, report) as engine:
        settings.save()
        if half_pruned_epochs(root, params):
            write_run(root, params)
        # Guards record the run's own file, which an edit since undone may have left another.
        engine.execute([resolve_node(params)], params)
        retention = _finished(Retention(root, params, engine.recorder), states)
        retention.settle()
    return retention.freed


def _finished(retention: Retention, states: list[NodeStatus]) -> Retention:
    """Shows the finished epochs to `retention`, up to the first that is not."""
    for status in states:
        if status.node.epoch and "/epochs/" in status.node.folder:
            if status.state != "done":
                break
            retention.passed(status.node)
    return retention


def rerun(
    root: Path, run_name: str, stage: str, epoch: str | None, follow: bool, report: Reporter, *, yes: bool = False
) -> None:
    """Runs one stage again whether or not it is up to date; `follow`: and what depends on it."""
    from pipeline.execution import Engine

    params = load_run_params(root / run_folder(run_name))
    _refuse_edits(root, params)
    nodes = nodes_on_disk(root, params)
    if pruned := [node for node in nodes if node.stage == PRUNED and epoch and _is_epoch(node.folder, epoch)]:
        kept = ", ".join(sorted(Path(out.path).name for out in pruned[0].outs.values()))
        raise Refusal(f"epoch {pruned[0].epoch} of run {run_name} is pruned and keeps {kept}: no stage can run there")
    chosen = [node for node in nodes if node.stage == stage and _is_epoch(node.folder, epoch)]
    if not chosen:
        have = "final or " + f"{params.start + 1} to {params.epochs}" if own_epochs(params) else "final"
        stages = ", ".join(dict.fromkeys(node.stage for node in nodes if node.stage != PRUNED))
        where = f" in epoch {epoch}" if epoch else ""
        raise Refusal(f"run {run_name} has no stage {stage}{where}; stages: {stages}; epochs: {have}")
    if len(chosen) > 1:
        raise Refusal(f"stage {stage} is in every epoch: name one with --epoch N, or --epoch final")
    if stage == "pack":
        needs.refuse_repacking(root, load_dataset_params(root, params.dataset.name), yes=yes)
    with Engine(root, run_name, report) as engine:
        if stage in ("generate", "pack"):
            count = engine.pack(params.dataset, force=stage)
        else:
            count = engine.execute(chosen, params, {chosen[0].id})
        if follow:
            later = nodes[nodes.index(chosen[0]) + 1 :]
            count += engine.execute([node for node in later if node.run], params)
    report.say(f"{chosen[0].id} is made again" + (f", {count} stages run in all" if follow else ""))


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
    """Packs a data set again, whichever runs use it."""
    from pipeline.execution import Engine

    params = load_dataset_params(root, dataset)
    needs.refuse_repacking(root, params, yes=yes)
    write_dataset(root, params)
    with Engine(root, None, report) as engine:
        engine.pack(params, force="pack")
    report.say(f"data set {dataset} is packed again")
