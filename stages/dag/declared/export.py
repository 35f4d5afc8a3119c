"""The stage `export`."""

from stages.dag.names import CHECKPOINT, CLUSTERING, HISTORY, METRICS, PACK, SUMMARY, WEIGHTS
from stages.dag.stage import Read, Stage, Write
from stages.parameters.model import ModelKeys

STAGE = Stage(
    "export",
    "backbone weights, the table of epochs, and a summary",
    place="end",
    reads={
        "network": Read(CHECKPOINT, of="last"),
        "clustering": Read(CLUSTERING, of="final"),
        "pack": Read(PACK, of="data set"),
        "metrics": Read(METRICS, of="epochs"),
    },
    writes={
        "weights": Write(WEIGHTS, "large"),
        "history": Write(HISTORY),
        "summary": Write(SUMMARY, "metrics"),
    },
    keys=ModelKeys,
)
