"""The stage `resolve`."""

from stages.dag.names import PACK, PARAMS
from stages.dag.stage import Read, Stage, Write
from stages.parameters.resolve import ResolveKeys
from stages.parameters.run import root_sections

STAGE = Stage(
    "resolve",
    "the run's parameters, resolved from the root's params.yaml",
    place="run",
    reads={"pack": Read(PACK, of="data set")},
    writes={"params": Write(PARAMS, "persistent")},
    keys=ResolveKeys,
    # Whole sections, not single keys: a key with a default may be missing there, and DVC fails on a missing key.
    root_keys=(*root_sections(), "datasets.{dataset}", "runs.{run}"),
    revised=False,
)
