"""The stage `tables`."""

from stages.dag.names import FIGURES, RESULT, TABLES, WEIGHTS
from stages.dag.stage import Read, Stage, Write

STAGE = Stage(
    "tables",
    "the paper's tables, with the demo's rows; pulls the demo, so that plain `dvc repro` computes it",
    place="project",
    # The demo's weights and figures alone make `dvc repro` compute it whole, whatever it is evaluated by.
    reads={
        "weights": Read(WEIGHTS, of="run"),
        "figures": Read(FIGURES, of="run"),
        "results": Read(RESULT, of="results"),
    },
    writes={"tables": Write(TABLES)},
)
