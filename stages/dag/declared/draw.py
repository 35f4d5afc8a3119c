"""The stage `draw`."""

from stages.dag.names import PICTURES
from stages.dag.stage import Stage, Write
from stages.parameters.sets import SetKeys

STAGE = Stage(
    "draw",
    "draw an evaluation set of the demo in its real layout",
    place="drawn evaluation set",
    writes={"pictures": Write(PICTURES, "large")},
    keys=SetKeys,
    root_keys=("evaluation_sets.{set}.draw",),
)
