"""The stage `figures`."""

from stages.dag.names import ASSIGNMENTS, HISTORY, PACK
from stages.dag.stage import Read, Stage, Write

STAGE = Stage(
    "figures",
    "the demo's curves and clusters",
    place="project",
    reads={
        "history": Read(HISTORY, of="run"),
        "assignments": Read(ASSIGNMENTS, of="final"),
        "pack": Read(PACK, of="data set"),
    },
    writes={"figures": Write("data/figures")},
    revised=False,
)
