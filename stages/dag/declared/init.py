"""The stage `init`."""

from stages.dag.names import CHECKPOINT, PACK
from stages.dag.stage import Read, Stage, Write
from stages.parameters.init import InitKeys

STAGE = Stage(
    "init",
    "the network that the first epoch starts from",
    place="start",
    reads={"pack": Read(PACK, of="data set", recipe="deepcluster-v2")},
    # It stays until another is whole: the file of weights that it was made from may be gone by then.
    writes={"checkpoint": Write(f"epochs/0000/{CHECKPOINT}", "persistent")},
    keys=InitKeys,
    untracked=("init.weights",),
)
