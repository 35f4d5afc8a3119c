"""The stage `whiten`."""

from stages.dag.names import FEATURES, PCA, WHITENED
from stages.dag.stage import Read, Stage, Write
from stages.parameters.whiten import WhitenKeys

STAGE = Stage(
    "whiten",
    "PCA, whitening, unit length (section 3.4)",
    place="clustering",
    reads={"features": Read(FEATURES)},
    writes={"pca": Write(PCA), "whitened": Write(WHITENED, "large")},
    keys=WhitenKeys,
    recipe="deepcluster",
)
