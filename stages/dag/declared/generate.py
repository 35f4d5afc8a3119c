"""The stage `generate`."""

from stages.dag.names import PICTURES
from stages.dag.stage import Stage, Write
from stages.parameters.dataset import DatasetKeys

STAGE = Stage(
    "generate",
    "draw the demo's labelled pictures",
    place="drawn data set",
    writes={"pictures": Write(PICTURES, "large")},
    keys=DatasetKeys,
    root_keys=("datasets.{dataset}.generate",),
)
