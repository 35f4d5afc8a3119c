"""The stage `proposals`."""

from stages.dag.names import INDEX_SUMMARY, PICTURES, PROPOSALS
from stages.dag.stage import Read, Stage, Write
from stages.parameters.sets import SetKeys

STAGE = Stage(
    "proposals",
    "boxes that may hold an object, for detection",
    place="proposed evaluation set",
    reads={"index": Read(INDEX_SUMMARY), "pictures": Read(PICTURES, of="drawn")},
    writes={"proposals": Write(PROPOSALS)},
    keys=SetKeys,
    root_keys=("evaluation_sets.{set}",),
)
