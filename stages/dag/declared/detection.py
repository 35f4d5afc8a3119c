"""The stage `detection`."""

from stages.dag.names import INDEX_SUMMARY, PROPOSALS
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.detection import DetectionParams

STAGE = protocol(
    "detection",
    "Fast R-CNN, fine-tuned (Tables 2 to 4)",
    EvaluationKeys[DetectionParams],
    reads={
        "train": Read(INDEX_SUMMARY, of="train"),
        "test": Read(INDEX_SUMMARY, of="test"),
        "train_proposals": Read(PROPOSALS, of="train"),
        "test_proposals": Read(PROPOSALS, of="test"),
    },
)
