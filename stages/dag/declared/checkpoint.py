"""The stage `checkpoint`."""

from stages.dag.names import CHECKPOINT, CLUSTERING, METRICS, PSEUDOLABELS, TRAINED
from stages.dag.stage import Read, Stage, Write
from stages.parameters.model import ModelKeys

STAGE = Stage(
    "checkpoint",
    "the verified network, and the epoch's metrics",
    place="epoch",
    reads={
        "trained": Read(TRAINED),
        "clustering": Read(CLUSTERING, of="anew"),
        "pseudolabels": Read(PSEUDOLABELS, of="anew"),
    },
    writes={"checkpoint": Write(CHECKPOINT, "large"), "metrics": Write(METRICS)},
    keys=ModelKeys,
)
