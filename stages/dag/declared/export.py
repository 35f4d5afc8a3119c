"""The stage `export`."""

from stages.dag.names import CLUSTERING, HISTORY, METRICS, PACK, PIXELS_BASELINE, SUMMARY
from stages.dag.stage import Read, Stage, Write
from stages.parameters.export import ExportKeys

STAGE = Stage(
    "export",
    "the table of epochs, and a summary",
    place="end",
    reads={
        "clustering": Read(CLUSTERING, of="final"),
        "pack": Read(PACK, of="data set"),
        "baseline": Read(PIXELS_BASELINE, of="run"),
        "metrics": Read(METRICS, of="epochs"),
    },
    writes={
        "history": Write(HISTORY),
        "summary": Write(SUMMARY, "metrics"),
    },
    keys=ExportKeys,
)
