"""The stage `train`."""

from stages.dag.names import CHECKPOINT, PACK, PSEUDOLABELS, TRAINED
from stages.dag.stage import Read, Stage, Write
from stages.parameters.train import TrainKeys

STAGE = Stage(
    "train",
    "one epoch on the pseudo-labels (Eq. 1)",
    place="epoch",
    reads={
        "pack": Read(PACK, of="data set"),
        "network": Read(CHECKPOINT, of="before"),
        "pseudolabels": Read(PSEUDOLABELS, of="clustered"),
    },
    writes={"trained": Write(TRAINED, "large")},
    keys=TrainKeys,
)
