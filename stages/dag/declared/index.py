"""The stage `index`."""

from stages.dag.names import INDEX, INDEX_SUMMARY, PICTURES, QUERIES
from stages.dag.stage import Read, Stage, Write
from stages.parameters.sets import SetKeys

STAGE = Stage(
    "index",
    "look an evaluation set through, whole",
    place="evaluation set",
    reads={"pictures": Read(PICTURES, of="drawn")},
    writes={"table": Write(INDEX), "queries": Write(QUERIES), "index": Write(INDEX_SUMMARY)},
    keys=SetKeys,
    root_keys=("evaluation_sets.{set}",),
)
