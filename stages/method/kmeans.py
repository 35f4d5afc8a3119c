"""k-means of the whitened features (Eq. 2), with the empty clusters of section 3.3 repaired."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

ASSIGN_ROWS = 1024
"""Rows whose distances to all centroids are in memory at once."""

REPAIR_ROUNDS = 20
SPLIT_ROUNDS = 10


@dataclass(frozen=True)
class Clustering:
    """Clusters of N rows.

    Attributes:
        assignment: (N,) int64, the cluster of each row.
        distance: (N,) float64, squared L2 distance to the centroid of that cluster.
        centroids: (k, d) float32.
        objective: mean over the rows of Eq. 2, before each iteration's update and at the end.
        splits: clusters found empty and split in each iteration.
        repaired: clusters found empty after the last assignment and filled by a split.
    """

    assignment: NDArray[np.int64]
    distance: NDArray[np.float64]
    centroids: NDArray[np.float32]
    objective: list[float]
    splits: list[int]
    repaired: int = 0


def assign(rows: NDArray[np.float32], centroids: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest centroid of each row, and the squared distance to it, in float64.

    |x|^2 + |c|^2 - 2 x.c in float32 cannot tell apart centroids that are closer to each other than
    1e-7 of their length, which is what the features of a collapsing network look like.
    """
    import scipy.linalg.blas as blas

    centre = centroids.mean(0, dtype=np.float64)
    c = centroids.astype(np.float64) - centre
    squares = np.einsum("ij,ij->i", c, c)
    assignment = np.empty(len(rows), np.int64)
    distance = np.empty(len(rows))
    for start in range(0, len(rows), ASSIGN_ROWS):
        x = rows[start : start + ASSIGN_ROWS].astype(np.float64) - centre
        # c x^T in Fortran's order, so that no copy is made of either.
        products = blas.dgemm(-2.0, c.T, x.T, trans_a=True)
        products += squares[:, None]
        nearest = products.argmin(0)
        assignment[start : start + len(x)] = nearest
        exact = x - c[nearest]
        distance[start : start + len(x)] = np.einsum("ij,ij->i", exact, exact)
    return assignment, distance


def kmeans(
    rows: NDArray[np.float32],
    k: int,
    *,
    iterations: int,
    seed: int,
    rng: np.random.Generator,
    gpu: int | None = None,
) -> Clustering:
    """faiss k-means on all rows, then a last assignment of all of them.

    faiss splits clusters that become empty during its iterations; one that is empty after the last
    assignment is filled by splitting another, until each is used or no cluster holds two distinct
    rows.

    Args:
        rows: (N, d), k <= N.
        iterations: at most; faiss ends sooner when the objective stands still.
        seed: of the initial centroids, a new one each epoch.
        rng: chooses the clusters that are split.
        gpu: number of the GPU to search on; None for the CPU, as where faiss was built without GPUs.
    """
    import faiss

    rows = np.ascontiguousarray(rows, np.float32)
    search = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=10_000_000,
    )
    if gpu is not None and hasattr(faiss, "StandardGpuResources"):
        search.index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), gpu, faiss.IndexFlatL2(rows.shape[1]))
    search.train(rows)
    assert search.centroids is not None and search.iteration_stats is not None
    stats, centroids = search.iteration_stats, search.centroids.copy()
    centroids, repaired, assignment, distance = _repair(rows, centroids, rng)
    objective = [float(step["obj"]) / len(rows) for step in stats] + [float(distance.mean())]
    splits = [int(step["nsplit"]) for step in stats]
    return Clustering(assignment, distance, centroids, objective, splits, repaired)


def _repair(
    rows: NDArray[np.float32], centroids: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], int, NDArray[np.int64], NDArray[np.float64]]:
    """Centroids of which as many as possible are used, how many splits that took, and the last assignment."""
    k = len(centroids)
    splits = 0
    assignment, distance = assign(rows, centroids)
    for _ in range(REPAIR_ROUNDS):
        sizes = np.bincount(assignment, minlength=k)
        empty = np.flatnonzero(sizes == 0)
        if len(empty) == 0:
            break
        members = np.split(np.argsort(assignment, kind="stable"), np.cumsum(sizes)[:-1])
        splittable = [c for c in range(k) if sizes[c] > 1 and np.ptp(rows[members[c]], axis=0).any()]
        if not splittable:
            break
        weights = sizes[splittable] / sizes[splittable].sum()
        chosen = rng.choice(splittable, min(len(empty), len(splittable)), replace=False, p=weights)
        centroids = centroids.copy()
        for target, source in zip(empty, chosen, strict=False):
            centroids[source], centroids[target] = _split(rows[members[source]])
            splits += 1
        assignment, distance = assign(rows, centroids)
    return centroids, splits, assignment, distance


def _split(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centroids of two non-empty halves of rows that are not all equal."""
    first: NDArray[np.floating] = rows[_squares(rows, rows.mean(0, dtype=np.float64)).argmax()]
    second: NDArray[np.floating] = rows[_squares(rows, first).argmax()]
    for _ in range(SPLIT_ROUNDS):
        near = _squares(rows, first) <= _squares(rows, second)
        if near.all() or not near.any():
            break
        first, second = rows[near].mean(0, dtype=np.float64), rows[~near].mean(0, dtype=np.float64)
    return first.astype(np.float32), second.astype(np.float32)


def _squares(
    rows: NDArray[np.float32], points: NDArray[np.floating], which: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """(N,) squared distances of rows to a point (d,), or to those of (k, d) that `which` names, in float64."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), ASSIGN_ROWS):
        part = slice(start, start + ASSIGN_ROWS)
        difference = rows[part].astype(np.float64) - (points if which is None else points[which[part]])
        out[part] = np.einsum("ij,ij->i", difference, difference)
    return out


def of_groups(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> Clustering:
    """Clusters that are given, such as the classes: centroids and distances of their members.

    Args:
        groups: (N,), numbered densely from 0.
    """
    sizes = np.bincount(groups)
    sums = np.zeros((len(sizes), rows.shape[1]))
    for start in range(0, len(rows), ASSIGN_ROWS):
        part = groups[start : start + ASSIGN_ROWS]
        membership = csr_array((np.ones(len(part)), part, np.arange(len(part) + 1)), (len(part), len(sizes)))
        sums += membership.T @ rows[start : start + ASSIGN_ROWS].astype(np.float64)
    centroids = (sums / sizes[:, None]).astype(np.float32)
    distance = _squares(rows, centroids, groups)
    return Clustering(groups, distance, centroids, [float(distance.mean())], [])
