"""The stage `segmentation`."""

from stages.dag.names import INDEX_SUMMARY
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.segmentation import SegmentationParams

STAGE = protocol(
    "segmentation",
    "a fully convolutional network, fine-tuned (Tables 2 and 3)",
    EvaluationKeys[SegmentationParams],
    reads={
        "train": Read(INDEX_SUMMARY, of="train"),
        "test": Read(INDEX_SUMMARY, of="test"),
    },
)
