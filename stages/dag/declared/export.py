"""The stage `export`."""

from stages.dag.names import CHECKPOINT, CLUSTERING, HISTORY, METRICS, WEIGHTS
from stages.dag.stage import Read, Stage, Write
from stages.parameters.model import ModelKeys

STAGE = Stage(
    "export",
    "backbone weights and the table of epochs",
    place="end",
    reads={
        "network": Read(CHECKPOINT, of="last"),
        "clustering": Read(CLUSTERING, of="final"),
        "metrics": Read(METRICS, of="epochs"),
    },
    writes={"weights": Write(WEIGHTS, "large"), "history": Write(HISTORY)},
    keys=ModelKeys,
)
