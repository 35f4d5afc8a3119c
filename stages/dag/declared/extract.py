"""The stage `extract`."""

from stages.dag.names import CHECKPOINT, FEATURES, PACK
from stages.dag.stage import Read, Stage, Write
from stages.parameters.extract import ExtractKeys

STAGE = Stage(
    "extract",
    "features of the centre crops (section 3.2)",
    place="clustering",
    reads={"pack": Read(PACK, of="data set"), "network": Read(CHECKPOINT, of="before")},
    writes={"features": Write(FEATURES, "large")},
    keys=ExtractKeys,
)
