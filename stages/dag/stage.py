"""How a stage is declared: where it stands, what it reads and writes there, and which keys it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydantic import BaseModel

Place = Literal[
    "drawn data set", "data set", "run", "start", "clustering", "clustered epoch", "epoch", "guard", "end", "project"
]
"""Where a stage stands, in the order of computation:

drawn data set    data/images/NAME, where the pictures are generated
data set          data/images/NAME
run               data/runs/NAME, before its epochs
start             the same, of a run that is no branch
clustering        final/, and each epochs/NNNN that clusters anew (`cluster.every`)
clustered epoch   each epoch that clusters anew
epoch             each epoch of a run
guard             in place of stages that cannot run: of a pruned epoch, or those to come
end               data/runs/NAME, after its epochs
project           the root, by hand, for the demo alone
"""

Source = Literal[
    "here", "drawn", "data set", "run", "before", "clustered", "anew", "previous", "last", "final", "epochs"
]
"""Whose file a stage reads, seen from where it stands:

here        its own folder
drawn       its own folder, where the pictures are generated; else nothing
data set    the run's pictures
run         the run's folder
before      the epoch before
clustered   the epoch whose clustering this one trains on: itself, or an earlier one
anew        its own folder, where the epoch clusters anew; else nothing
previous    the clustering before this one; nothing at the first
last        the run's last epoch
final       the clustering of the finished network
epochs      every epoch that the run trains
"""

Kind = Literal["cached", "large", "persistent", "metrics"]
"""`large` artifacts stay outside DVC's cache, `persistent` ones also survive a rerun, `metrics` are shown by DVC."""


@dataclass(frozen=True)
class Read:
    """An input: the name of a file or folder, and whose it is."""

    name: str
    of: Source = "here"


@dataclass(frozen=True)
class Write:
    """An output: the name of a file or folder below the stage's own folder."""

    name: str
    kind: Kind = "cached"


@dataclass(frozen=True)
class Stage:
    """One stage: the module stages/NAME.py with a function of that name.

    Attributes:
        name: also its name in dvc.yaml and on the command line.
        description: one line, which DVC shows.
        reads, writes: by the role that each plays, which is how the stage asks for it.
        keys: the class of its parameters; every leaf of it is a key that DVC tracks.
        root_keys: keys of the root's params.yaml, for stages that read that one; {dataset} and {run} are filled in.
        revised: whether its module has a REVISION, raised when its results change.
    """

    name: str
    description: str
    place: Place
    reads: Mapping[str, Read] = field(default_factory=dict)
    writes: Mapping[str, Write] = field(default_factory=dict)
    keys: type[BaseModel] | None = None
    root_keys: tuple[str, ...] = ()
    revised: bool = True
