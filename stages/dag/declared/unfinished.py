"""The stage `unfinished`."""

from stages.dag.names import PARAMS
from stages.dag.stage import Read, Stage

STAGE = Stage(
    "unfinished",
    "stands for what `python -m pipeline run` has not made yet; it cannot be computed by DVC",
    place="guard",
    reads={"params": Read(PARAMS)},
    revised=False,
)
