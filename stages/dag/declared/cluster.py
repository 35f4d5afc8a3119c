"""The stage `cluster`."""

from stages.dag.names import ASSIGNMENTS, CENTROIDS, CLUSTERING, FEATURES, PACK, PCA, WHITENED
from stages.dag.stage import Read, Stage, Write
from stages.parameters.cluster import ClusterKeys

STAGE = Stage(
    "cluster",
    "assignments, and measures of the clustering (Eq. 2)",
    place="clustering",
    reads={
        "whitened": Read(WHITENED, recipe="deepcluster"),
        "pca": Read(PCA, recipe="deepcluster"),
        "features": Read(FEATURES, recipe="deepcluster-v2"),
        "pack": Read(PACK, of="data set"),
        "previous": Read(ASSIGNMENTS, of="previous"),
    },
    writes={
        "centroids": Write(CENTROIDS),
        "assignments": Write(ASSIGNMENTS),
        "clustering": Write(CLUSTERING),
    },
    keys=ClusterKeys,
)
