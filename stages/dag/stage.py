"""What the declaration of a stage says: where it stands, what it reads and writes, and which keys it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stages.parameters.types import Recipe

Place = Literal[
    "drawn data set",
    "data set",
    "drawn evaluation set",
    "evaluation set",
    "proposed evaluation set",
    "run",
    "start",
    "clustering",
    "clustered epoch",
    "epoch",
    "guard",
    "network",
    "end",
    "evaluation",
    "project",
]
"""Where a stage stands, in the order of computation:

drawn data set    data/images/NAME, if its pictures are generated
data set          data/images/NAME
drawn evaluation set   data/evaluation/NAME, if its pictures are drawn
evaluation set    data/evaluation/NAME
proposed evaluation set   data/evaluation/NAME, if its entry says where proposals come from
run               data/runs/NAME, before its epochs
start             data/runs/NAME, before its epochs, unless the run is a branch
clustering        each data/runs/NAME/epochs/NNNN that clusters anew (`cluster.every`), and data/runs/NAME/final
clustered epoch   each data/runs/NAME/epochs/NNNN that clusters anew
epoch             each data/runs/NAME/epochs/NNNN
guard             in place of stages that cannot run: those of a pruned epoch, or those still to come
network           data/runs/NAME, after its epochs
end               data/runs/NAME, after its epochs, unless the run has no pictures
evaluation        data/runs/NAME/evaluations/NAME, of those that the run asks for; the stage bears the protocol's name
project           the project's root, for the demo alone; that dvc.yaml is written by hand
"""

Source = Literal[
    "here",
    "drawn",
    "data set",
    "run",
    "before",
    "clustered",
    "anew",
    "previous",
    "last",
    "final",
    "epochs",
    "train",
    "test",
    "whiten",
    "results",
]
"""The folder whose file a stage reads:

here        its own
drawn       its own, if the data set's pictures are generated; else the stage does not read that file
data set    that of the run's data set; a run without pictures does not read it
run         that of the run
before      that of the epoch before
clustered   that of the epoch whose clustering this epoch trains on: itself, or an earlier one
anew        its own, if the epoch clusters anew; else the stage does not read that file
previous    that of the previous epoch that clustered anew; at the first clustering the stage does not read that file
last        that of the run's last epoch
final       final/, the clustering of the finished network
epochs      those of all epochs that the run trains, a file in each
train, test, whiten   that of the data set or evaluation set that an entry of `evaluations` names so; where it names
            none, the stage does not read that file
results     those of all evaluations of the demo and of its baseline, a file in each
"""

Kind = Literal["cached", "large", "persistent", "metrics"]
"""How DVC keeps an output: in its cache (`cached`); outside of it (`large`); outside of it and in place until a rerun
has replaced it (`persistent`); in its cache and shown by `dvc metrics` (`metrics`)."""


@dataclass(frozen=True)
class Read:
    """An input: the name of a file or folder, the folder that holds it, and the recipe that reads it, if one alone."""

    name: str
    of: Source = "here"
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Write:
    """An output: the name of a file or folder below the stage's own folder."""

    name: str
    kind: Kind = "cached"


@dataclass(frozen=True)
class Stage:
    """The declaration of one stage, which is the function NAME in stages/NAME.py.

    Attributes:
        name: also its name in dvc.yaml and on the command line.
        description: one line, which goes into dvc.yaml.
        reads: its inputs by role; the stage asks for the path of one by `job.input(role)`.
        writes: its outputs by role; the stage asks where to write one by `job.output(role)`.
        keys: the class of its parameters, which is the class of `job.params`; DVC tracks each leaf by its own key.
        untracked: keys among those that tell where something lies and change no result: DVC does not track them.
        root_keys: keys of the root's params.yaml, for a stage that reads that file; {dataset}, {set}, {run} and
            {evaluation} stand for the names.
        revised: whether its module has a REVISION, which is raised when its results change.
        recipe: the recipe that has this stage; None for all.
    """

    name: str
    description: str
    place: Place
    reads: Mapping[str, Read] = field(default_factory=dict)
    writes: Mapping[str, Write] = field(default_factory=dict)
    keys: type[BaseModel] | None = None
    untracked: tuple[str, ...] = ()
    root_keys: tuple[str, ...] = ()
    revised: bool = True
    recipe: Recipe | None = None

    def named_root_keys(self, **names: str | None) -> tuple[str, ...]:
        """`root_keys` with names put in, without those whose name is None."""
        there = {name: value for name, value in names.items() if value is not None}
        absent = [f"{{{name}}}" for name, value in names.items() if value is None]
        return tuple(key.format(**there) for key in self.root_keys if not any(name in key for name in absent))
