"""The stage `init`."""

from stages.dag.names import CHECKPOINT
from stages.dag.stage import Stage, Write
from stages.parameters.model import InitKeys

STAGE = Stage(
    "init",
    "the initialised network",
    place="start",
    writes={"checkpoint": Write(f"epochs/0000/{CHECKPOINT}", "large")},
    keys=InitKeys,
)
