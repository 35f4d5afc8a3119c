"""One declaration a stage, each in the module of its name; in the order in which they are computed."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from graphlib import TopologicalSorter
from typing import get_args

from stages.dag.names import CHECKPOINT
from stages.dag.stage import Place, Stage

_MADE_BEFORE = ("here", "drawn", "clustered", "anew", "run")
"""Sources whose file a stage of the same folder makes."""

_EPOCH_PLACES = ("clustering", "clustered epoch", "epoch")


def names() -> list[str]:
    """The names of all stages, in alphabetical order; no declaration is imported for it."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@cache
def declared() -> dict[str, Stage]:
    """Every stage by its name, in the order of computation: by place, and after those whose files it reads."""
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
    """Every stage that a run's own params.yaml tunes, in order."""
    places = ("start", *_EPOCH_PLACES, "end")
    return [stage for stage in declared().values() if stage.place in places]


def nothing_reads(stage: Stage) -> bool:
    """Whether no stage reads what this one makes: then `export` depends on it, or nothing would ask for it."""
    made = {write.name for write in stage.writes.values()}
    return not any(read.name in made for other in declared().values() for read in other.reads.values())
