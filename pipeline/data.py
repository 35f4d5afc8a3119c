"""`data`: of each data set and evaluation set of params.yaml what lies there, what is missing, and who uses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.settings import Settings
from stages.artifacts.documents import load_json
from stages.dag.folders import dataset_folder, set_folder
from stages.dag.names import INDEX_SUMMARY, PACK
from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.parameters.resolution import resolve_dataset, resolve_evaluation, resolve_set
from stages.parameters.sets import EvaluationSet
from stages.sources.listing import list_dataset
from stages.sources.sets import look_over
from stages.words import plural


@dataclass(frozen=True)
class DataState:
    """What is there of one entry.

    Attributes:
        key: section and name, such as datasets.imagenet.
        path: where it lies, or should lie, as params.yaml has it.
        ready: whether nothing is missing.
        told: what is there and what is missing, in words.
        runs, evaluations: names of those that use it.
    """

    key: str
    path: str
    ready: bool
    told: str
    runs: tuple[str, ...]
    evaluations: tuple[str, ...]


def data(root: Path) -> list[DataState]:
    """Every data set and evaluation set of params.yaml, in its order. No picture is opened.

    Raises:
        Refusal: an entry is not valid.
    """
    settings = Settings(root)
    content = settings.content
    evaluations = [resolve_evaluation(content, name) for name in _names(content, "evaluations")]
    named = {run: settings.evaluations_of(run) for run in settings.runs()}
    found = []
    for name in _names(content, "datasets"):
        users = tuple(one.name for one in evaluations if name in (dataset.name for dataset in one.datasets))
        own = [run for run in named if settings.dataset_of(run) == name]
        dataset = resolve_dataset(content, name)
        ready, told = _stated(_packed(root, dataset))
        runs = _runs(named, users, own)
        found.append(DataState(f"datasets.{name}", dataset.path, ready, told, runs, users))
    for name in _names(content, "evaluation_sets"):
        users = tuple(one.name for one in evaluations if name in (one_set.name for one_set in one.sets))
        entry = resolve_set(content, name)
        ready, told = _stated(_indexed(root, entry))
        found.append(DataState(f"evaluation_sets.{name}", entry.path, ready, told, _runs(named, users), users))
    return found


def _names(content: Mapping[str, Any], section: str) -> list[str]:
    return [str(name) for name in content.get(section) or ()]


def _runs(named: Mapping[str, list[str]], users: Iterable[str], own: Iterable[str] = ()) -> tuple[str, ...]:
    """The runs that train on a set, or name an evaluation that reads it, in order."""
    wanted = {*users}
    return tuple(run for run, names in named.items() if run in own or wanted.intersection(names))


Told = Iterator[tuple[bool, str]]
"""Whether something is there, and that in words."""


def _stated(told: Told) -> tuple[bool, str]:
    """Whether all is there, and the whole of what is told; a refusal is what is missing."""
    parts: list[tuple[bool, str]] = []
    try:
        parts.extend(told)
    except Refusal as refusal:
        parts.append((False, str(refusal)))
    return all(there for there, _ in parts), "; ".join(text for _, text in parts)


def _packed(root: Path, dataset: DatasetParams) -> Told:
    pack = root / dataset_folder(dataset.name) / PACK
    if pack.exists():
        info = load_json(pack)
        yield True, f"packed: {_counted(info['images'], len(info['classes']))}"
    elif dataset.generate is not None:
        yield True, f"not drawn yet: {plural(dataset.generate.images, 'picture')}, when a run or an evaluation needs it"
    elif not (root / dataset.path).exists():
        listed = (
            "a text file with a path a line" if dataset.classes is None else "a text file, a path and a class a line"
        )
        yield False, f"not there: a folder of pictures{', in a folder of each class' * dataset.labels}, or {listed}"
    else:
        listing = list_dataset(root, dataset, root / dataset_folder(dataset.name))
        classes, _ = listing.classes(dataset.labels)
        yield True, f"{_counted(len(listing.entries), len(classes))}; not packed yet"
        if listing.rejected:
            name, reason = listing.rejected[0]
            shown = name.decode(errors="backslashreplace")
            yield False, f"{len(listing.rejected):,} cannot be opened, such as {shown!r} ({reason})"


def _counted(pictures: int, classes: int) -> str:
    return plural(pictures, "picture") + (f" in {plural(classes, 'class', 'classes')}" if classes else "")


def _indexed(root: Path, entry: EvaluationSet) -> Told:
    index = root / set_folder(entry.name) / INDEX_SUMMARY
    if entry.draw is not None and not index.exists():
        yield True, "not drawn yet: when an evaluation needs it"
        return
    # Its files are read as they lie, long after it was looked through.
    for part in look_over(root, entry):
        yield part.whole, str(part)
    yield True, "looked through" if index.exists() else "not looked through yet"
