"""The stage `baseline`."""

from stages.dag.names import PACK, PIXELS_BASELINE
from stages.dag.stage import Read, Stage, Write
from stages.parameters.baseline import BaselineKeys

STAGE = Stage(
    "baseline",
    "k-means on small pictures, which the groups are measured against",
    place="end",
    reads={"pack": Read(PACK, of="data set")},
    writes={"baseline": Write(PIXELS_BASELINE)},
    keys=BaselineKeys,
)
