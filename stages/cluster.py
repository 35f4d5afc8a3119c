"""Clusters the whitened features (Eq. 2) and measures the clustering (section 4.1).

Under `recipe: deepcluster-v2` there are several clusterings of the features as they are: number h is of view h modulo
the number of views, and what is measured and shown is the first, of the view that is not random.

reads   whitened.zarr and pca.npz, or features.zarr; pack.json (labels, to measure), the previous assignments
writes  centroids.npy         (k, dim) float32; for deepcluster-v2 (heads, k, dim)
        assignments.parquet   image, cluster, distance (squared L2 to its centroid); then cluster_1, … of other heads
        clustering.json       objective and splits per iteration, sizes, NMI, AMI, purity, kNN accuracy, rank
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.artifacts.arrays import write_npy
from stages.artifacts.documents import write_json
from stages.artifacts.tables import read_parquet, write_parquet
from stages.artifacts.transform import read as read_pca
from stages.errors import Refusal
from stages.method import measures
from stages.method.kmeans import Clustering, kmeans, of_groups
from stages.method.pic import power_iteration_clustering
from stages.method.whitening import PCAWhitening
from stages.parameters.cluster import ClusterKeys
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.runner import run_stage
from stages.words import plural

REVISION = 4


def cluster(job: Job[ClusterKeys]) -> None:
    views = _views(job)
    rows = views[0]
    images = job.packed()
    device = str(device_of(job.params.device))
    heads = [
        _clustering(job, views[head % len(views)], images.label, device) for head in range(job.params.cluster.heads)
    ]
    found = heads[0]
    if not np.isfinite(found.distance).all():
        role, maker = ("whitened", "whiten") if job.reads("whitened") else ("features", "extract")
        raise Refusal(f"{job.input(role)}: distances are not finite; rerun {maker}")
    previous = None
    if job.reads("previous"):
        previous = read_parquet(job.input("previous"), ["cluster"])["cluster"].to_numpy()
        if len(previous) != len(rows):
            raise Refusal(f"{job.input('previous')} is of other images; rerun the epoch that made it")
    pca = read_pca(job.input("pca")) if job.reads("pca") else None
    report = measured(found, rows, images.label, previous, pca, device)
    _tell(job, report)
    centroids = [head.centroids for head in heads]
    write_npy(job.output("centroids"), np.stack(centroids) if job.reads("features") else centroids[0])
    columns = {
        "image": np.arange(len(rows), dtype=np.int64),
        "cluster": found.assignment.astype(np.int32),
        "distance": found.distance.astype(np.float32),
    }
    columns |= {f"cluster_{head}": heads[head].assignment.astype(np.int32) for head in range(1, len(heads))}
    write_parquet(job.output("assignments"), pd.DataFrame(columns))
    write_json(job.output("clustering"), report)
    job.images = len(rows)


def _views(job: Job[ClusterKeys]) -> list[NDArray[np.float32]]:
    """(N, dim) rows to cluster, of each view of the pictures."""
    if job.reads("whitened"):
        return [job.rows("whitened", "whiten").read()]
    rows = job.rows("features", "extract").read()
    return [np.ascontiguousarray(rows[:, number], np.float32) for number in range(rows.shape[1])]


def _clustering(job: Job[ClusterKeys], rows: NDArray[np.float32], labels: NDArray[np.int64], device: str) -> Clustering:
    params = job.params.cluster
    if params.method == "labels":
        if (labels < 0).any():
            raise Refusal("cluster.method: labels: some pictures have none; --set cluster.method=kmeans")
        return of_groups(rows, np.unique(labels, return_inverse=True)[1])
    if params.method == "pic":
        neighbours = params.pic.neighbours or 0
        if len(rows) <= neighbours:
            raise Refusal(
                f"cluster.pic.neighbours: {neighbours} neighbours need more than {plural(len(rows), 'picture')}"
            )
        return of_groups(rows, power_iteration_clustering(rows, **params.pic.model_dump(), device=device))
    assert params.k is not None and params.iterations is not None
    if params.k > len(rows):
        raise Refusal(
            f"cluster.k: {params.k} clusters for {plural(len(rows), 'picture')}; --set cluster.k={len(rows) // 20 or 1}"
        )
    return kmeans(
        rows,
        params.k,
        iterations=params.iterations,
        seed=int(job.rng.integers(2**31)),
        rng=job.rng,
        device=device,
        spherical=params.spherical,
    )


def measured(
    found: Clustering,
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    previous: NDArray[np.integer] | None,
    pca: PCAWhitening | None,
    device: str,
) -> dict[str, Any]:
    """The content of clustering.json; measures that do not apply are None."""
    sizes = measures.cluster_sizes(found.assignment, len(found.centroids))
    return {
        **sizes,
        "collapsed": sizes["largest_share"] > measures.COLLAPSED_SHARE,
        "iterations": len(found.splits),
        "objective": found.objective,
        "splits": found.splits,
        "repaired": found.repaired,
        "nmi_previous": None if previous is None else measures.nmi(previous, found.assignment),
        "reassigned": None if previous is None else measures.reassigned_share(previous, found.assignment),
        **measures.to_labels(rows, found.assignment, labels, device),
        "rank": pca and pca.rank,
        "effective_rank": pca and pca.effective_rank,
        "variance_kept": pca and pca.variance_kept,
    }


def _tell(job: Job[ClusterKeys], report: dict[str, Any]) -> None:
    words = [f"{report['used']} clusters used, {report['empty']} empty"]
    for key, name in (("nmi_previous", "NMI to the previous"), ("nmi_labels", "NMI to labels")):
        if report[key] is not None:
            words.append(f"{name} {report[key]:.3f}")
    job.say(", ".join(words))
    if report["collapsed"]:
        job.say(
            f"warning: the largest cluster holds {report['largest_share']:.0%} of the images: the "
            "features have collapsed; lower train.lr, or change cluster.k"
        )


if __name__ == "__main__":
    run_stage(cluster)
