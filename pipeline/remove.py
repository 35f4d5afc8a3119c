"""`remove`: deletes a run that is no longer wanted, and pictures that no run has any more."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from pipeline.machine import refuse_read_only, refuse_unwritable
from pipeline.settings import Settings
from stages.dag.folders import dataset_folder, evaluation_folder, run_folder
from stages.errors import Refusal
from stages.parameters.named import refuse_name
from stages.runtime.locks import only_writer


def remove(root: Path, name: str, *, yes: bool, pictures: bool = False) -> str | None:
    """Deletes a run's folder and its entry in params.yaml; packed pictures stay, unless `pictures`.

    Args:
        name: the run, or with `pictures` a data set that is left of one.
        pictures: delete its packed pictures and their entry in `datasets` too; never the folder they were packed from.

    Returns:
        The name of its data set where no other run has that and it stays.

    Raises:
        Refusal: no such run, it is in use, or another run has its pictures too, or was measured on them.
    """
    refuse_name(name)
    settings = Settings(root)
    folder = root / run_folder(name)
    entered = name in settings.runs()
    there = entered or folder.exists()
    if not there and not (pictures and (root / dataset_folder(name)).exists()):
        raise Refusal(f"there is no run {name!r} (known: {', '.join(settings.runs())})")
    dataset = settings.dataset_of(name) if entered else None if there else name
    others = [] if dataset is None else [run for run in _users(root, settings, dataset) if run != name]
    packed = None if dataset is None else root / dataset_folder(dataset)
    if pictures:
        _refuse_pictures(root, settings, name, packed, others)
    doomed = ([folder] if there else []) + ([packed] if pictures and packed else [])
    if not yes:
        gone = " and ".join(str(path.relative_to(root)) for path in doomed)
        raise Refusal(f"this deletes {gone} for good: add --yes")
    refuse_read_only(root, [str(path.relative_to(root)) for path in doomed], params=True)
    for path in filter(Path.exists, doomed):
        # Before the first file goes: half a run would be left.
        for place, _, _ in os.walk(path, onerror=_raised):
            refuse_unwritable(Path(place))
    with ExitStack() as held:
        for path in doomed:
            held.enter_context(only_writer(path, f"run {name}" if path == folder else f"data set {dataset}"))
        for path in filter(Path.exists, doomed):
            shutil.rmtree(path)
        # Last, so that the same command goes on after a stop. The default of all runs keeps its entry, as does what an
        # evaluation reads.
        named = dataset == settings.content.get("dataset") or settings.evaluations_on(str(dataset))
        if pictures and dataset in settings.datasets() and not named:
            settings.drop("datasets", str(dataset))
        if entered:
            settings.drop("runs", name)
        settings.save()
    return dataset if packed and packed.exists() and not others else None


def _users(root: Path, settings: Settings, dataset: str) -> list[str]:
    """The runs that train on a data set, or were measured on it."""
    reading = settings.evaluations_on(dataset)
    measured = [run for run in settings.runs() if any((root / evaluation_folder(run, e)).exists() for e in reading)]
    return list(dict.fromkeys([*settings.runs_on(dataset), *measured]))


def _raised(error: OSError) -> None:
    raise error


def _refuse_pictures(root: Path, settings: Settings, name: str, packed: Path | None, others: list[str]) -> None:
    """Refuses to delete pictures that another run has, or that are the user's own."""
    if others:
        raise Refusal(f"--pictures: run {' and '.join(others)} needs the pictures of {name} too: leave it out")
    # Where the entry is there and the pictures are not, an earlier attempt was stopped.
    if packed is None or not (packed.exists() or packed.name in settings.datasets()):
        raise Refusal(f"--pictures: run {name} has no packed pictures: leave it out")
    entry = settings.datasets().get(packed.name) or {}
    source = root / str(entry.get("path", ""))
    if "generate" not in entry and source.exists() and source.resolve().is_relative_to(packed.resolve()):
        raise Refusal(f"--pictures: {source}, your own pictures, lie in {packed}: move them elsewhere first")
