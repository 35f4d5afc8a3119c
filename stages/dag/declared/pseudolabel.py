"""The stage `pseudolabel`."""

from stages.dag.names import ASSIGNMENTS, PSEUDOLABELS
from stages.dag.stage import Read, Stage, Write
from stages.parameters.pseudolabel import PseudolabelKeys

STAGE = Stage(
    "pseudolabel",
    "dense labels, uniform over clusters (section 3.3)",
    place="clustered epoch",
    reads={"assignments": Read(ASSIGNMENTS)},
    writes={"pseudolabels": Write(PSEUDOLABELS)},
    keys=PseudolabelKeys,
)
