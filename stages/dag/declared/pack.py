"""The stage `pack`."""

from stages.dag.names import MANIFEST, PACK, PICTURES, PIXELS, REJECTED
from stages.dag.stage import Read, Stage, Write
from stages.parameters.dataset import DatasetKeys

STAGE = Stage(
    "pack",
    "resize every picture once and pack the pixels",
    place="data set",
    reads={"pictures": Read(PICTURES, of="drawn")},
    writes={
        # The old pixels stay until the new ones are whole: the user's pictures may be gone by then.
        "pixels": Write(PIXELS, "persistent"),
        "manifest": Write(MANIFEST),
        "rejected": Write(REJECTED),
        "pack": Write(PACK),
    },
    keys=DatasetKeys,
    root_keys=("datasets.{dataset}",),
)
