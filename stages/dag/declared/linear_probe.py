"""The stage `linear_probe`."""

from stages.dag.names import PACK
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.linear_probe import LinearProbeParams

STAGE = protocol(
    "linear_probe",
    "linear classifiers on layers of the frozen network (Table 1)",
    EvaluationKeys[LinearProbeParams],
    reads={
        "train": Read(PACK, of="train"),
        "test": Read(PACK, of="test"),
    },
)
