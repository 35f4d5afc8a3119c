"""The stage `train`."""

from stages.dag.names import ASSIGNMENTS, CENTROIDS, CHECKPOINT, PACK, PSEUDOLABELS, TRAINED
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
        "assignments": Read(ASSIGNMENTS, of="clustered", recipe="deepcluster-v2"),
        "centroids": Read(CENTROIDS, of="clustered", recipe="deepcluster-v2"),
    },
    writes={"trained": Write(TRAINED, "large")},
    keys=TrainKeys,
)
