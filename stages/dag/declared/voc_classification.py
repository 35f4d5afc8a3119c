"""The stage `voc_classification`."""

from stages.dag.names import INDEX_SUMMARY
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.voc_classification import VocClassificationParams

STAGE = protocol(
    "voc_classification",
    "multi-label classification, fine-tuned (Tables 2 and 3)",
    EvaluationKeys[VocClassificationParams],
    reads={
        "train": Read(INDEX_SUMMARY, of="train"),
        "test": Read(INDEX_SUMMARY, of="test"),
    },
)
