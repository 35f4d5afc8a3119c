"""The stage `demo`."""

from stages.dag.names import FIGURES
from stages.dag.stage import Read, Stage

STAGE = Stage(
    "demo",
    "pulls the demo, so that plain `dvc repro` computes it",
    place="project",
    reads={"figures": Read(FIGURES, of="run")},
    revised=False,
)
