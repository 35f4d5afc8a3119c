"""The stage `figures`."""

from stages.dag.names import ASSIGNMENTS, FIGURES, HISTORY, PACK
from stages.dag.stage import Read, Stage, Write
from stages.parameters.types import NoKeys

STAGE = Stage(
    "figures",
    "curves (Fig. 2 of the paper), and a sheet of clusters",
    place="end",
    reads={
        "history": Read(HISTORY, of="run"),
        "assignments": Read(ASSIGNMENTS, of="final"),
        "pack": Read(PACK, of="data set"),
    },
    writes={"figures": Write(FIGURES)},
    keys=NoKeys,
)
