"""The stage `knn`."""

from stages.dag.names import PACK
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.knn import KnnParams

STAGE = protocol(
    "knn",
    "classes of pictures by their nearest neighbours",
    EvaluationKeys[KnnParams],
    reads={
        "train": Read(PACK, of="train"),
        "test": Read(PACK, of="test"),
    },
    trains=False,
)
