"""The stage `weights`."""

from stages.dag.names import CHECKPOINT, WEIGHTS
from stages.dag.stage import Read, Stage, Write
from stages.parameters.weights import WeightsKeys

STAGE = Stage(
    "weights",
    "the backbone, for evaluations and for use elsewhere",
    place="network",
    reads={"network": Read(CHECKPOINT, of="last")},
    writes={"weights": Write(WEIGHTS, "large")},
    keys=WeightsKeys,
)
