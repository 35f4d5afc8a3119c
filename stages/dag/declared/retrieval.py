"""The stage `retrieval`."""

from stages.dag.names import INDEX_SUMMARY
from stages.dag.protocol import protocol
from stages.dag.stage import Read
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.retrieval import RetrievalParams

STAGE = protocol(
    "retrieval",
    "pictures of the same place by R-MAC (Table 5)",
    EvaluationKeys[RetrievalParams],
    reads={
        "test": Read(INDEX_SUMMARY, of="test"),
        "whiten": Read(INDEX_SUMMARY, of="whiten"),
    },
)
