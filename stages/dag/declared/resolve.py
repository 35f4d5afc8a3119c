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
    # Sections whole: where a key of one is missing, its default holds, and DVC would fail.
    root_keys=(*root_sections(), "datasets.{dataset}", "runs.{run}"),
    revised=False,
)
