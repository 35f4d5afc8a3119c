"""One declaration per stage, each in a module of the stage's name, found by walking this package.

A new stage is declared by a new module here; no list has to be extended.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from graphlib import TopologicalSorter
from typing import get_args

from stages.dag.names import CHECKPOINT
from stages.dag.stage import Place, Stage

_MADE_BEFORE = ("here", "drawn", "clustered", "anew", "run")
"""Sources of a `Read` that are, or may be, another stage's output in the same folder."""

_EPOCH_PLACES = ("clustering", "clustered epoch", "epoch")


def names() -> list[str]:
    """The names of all stages in alphabetical order, from the names of the modules: none of them is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@cache
def declared() -> dict[str, Stage]:
    """Every stage by its name, in the order of computation: by place, then each after the stages that it reads from."""
    found = {name: importlib.import_module(f"{__name__}.{name}").STAGE for name in names()}
    writers: dict[str, set[str]] = {}
    for name, stage in found.items():
        for write in stage.writes.values():
            writers.setdefault(write.name, set()).add(name)
    before: dict[str, list[str]] = {}
    for name, stage in found.items():
        read = [read.name for read in stage.reads.values() if read.of in _MADE_BEFORE]
        before[name] = sorted({writer for file in read for writer in writers.get(file, ())} - {name})
    # An epoch is whole when its checkpoint is recorded: whatever does not start from it comes before.
    for name, stage in found.items():
        if stage.place in _EPOCH_PLACES and name not in writers[CHECKPOINT]:
            reads = {read.name for read in stage.reads.values() if read.of in _MADE_BEFORE}
            if CHECKPOINT not in reads:
                for writer in writers[CHECKPOINT]:
                    before[writer].append(name)
    order = sorted(TopologicalSorter(before).static_order(), key=lambda name: _rank(found[name]))
    return {name: found[name] for name in order}


def _rank(stage: Stage) -> int:
    place = "epoch" if stage.place in _EPOCH_PLACES else stage.place
    return get_args(Place).index(place)


def of_epochs() -> list[Stage]:
    """The stages of an epoch that clusters anew, in order."""
    return [stage for stage in declared().values() if stage.place in _EPOCH_PLACES]


def of_runs() -> list[Stage]:
    """The stages that depend on keys of a run's own params.yaml, in order."""
    places = ("start", *_EPOCH_PLACES, "network", "end")
    return [stage for stage in declared().values() if stage.place in places]


def nothing_reads(stage: Stage) -> bool:
    """Whether no stage reads any of its outputs. `export` then depends on them, or `dvc repro` would not make them."""
    made = {write.name for write in stage.writes.values()}
    return not any(read.name in made for other in declared().values() for read in other.reads.values())
