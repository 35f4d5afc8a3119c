"""The stage `mlp`."""

from stages.dag.names import PACK
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.mlp import MlpParams

STAGE = protocol(
    "mlp",
    "an MLP on one layer of the frozen network",
    EvaluationKeys[MlpParams],
    reads={
        "train": Read(PACK, of="train"),
        "test": Read(PACK, of="test"),
    },
)
