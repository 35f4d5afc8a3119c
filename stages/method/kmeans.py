"""k-means of the whitened features (Eq. 2), with empty clusters refilled (section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

ASSIGN_ROWS = 1024
"""Rows whose distances to all centroids are in memory at once."""

REPAIR_ROUNDS = 20
"""Rounds of splitting clusters to fill empty ones, at most."""

SPLIT_ROUNDS = 10
"""Iterations of the 2-means that splits a cluster, at most."""


@dataclass(frozen=True)
class Clustering:
    """N rows in k clusters.

    Attributes:
        assignment: (N,) int64, the cluster of each row.
        distance: (N,) float64, squared L2 distance of each row to the centroid of its cluster.
        centroids: (k, d) float32.
        objective: value of Eq. 2 (mean squared distance) before the update of each iteration, and at the end.
        splits: number of empty clusters that each iteration filled by splitting others.
        repaired: number of clusters that were empty after the last iteration and were filled then.
    """

    assignment: NDArray[np.int64]
    distance: NDArray[np.float64]
    centroids: NDArray[np.float32]
    objective: list[float]
    splits: list[int]
    repaired: int = 0


def assign(
    rows: NDArray[np.float32], centroids: NDArray[np.float32], device: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest centroid of each row, (N,) int64, and the squared L2 distance to it, (N,) float64.

    Computed in float64: in float32, |x|^2 + |c|^2 - 2 x.c cannot tell apart centroids that are closer to each other
    than about 1e-7 of their length, as they are when a network collapses.

    Args:
        rows: (N, d).
        centroids: (k, d).
        device: where it is computed.
    """
    if device != "cpu":
        from stages.method.device_kmeans import assign_on

        return assign_on(rows, centroids, device)
    import scipy.linalg.blas as blas

    centre = centroids.mean(0, dtype=np.float64)
    c = centroids.astype(np.float64) - centre
    squares = np.einsum("ij,ij->i", c, c)
    assignment = np.empty(len(rows), np.int64)
    distance = np.empty(len(rows))
    for start in range(0, len(rows), ASSIGN_ROWS):
        x = rows[start : start + ASSIGN_ROWS].astype(np.float64) - centre
        # -2 c x^T, in the operand order that lets BLAS (column-major) read both without a copy.
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
    device: str = "cpu",
    spherical: bool = False,
) -> Clustering:
    """k-means by faiss on all rows (Eq. 2), then one exact assignment of all rows by `assign`.

    faiss fills clusters that become empty during its iterations by splitting others (section 3.3). Those that are
    empty after the exact assignment are filled likewise, until every cluster is used or no cluster holds two
    distinct rows.

    Args:
        rows: (N, d), with k <= N.
        iterations: at most; on a CPU faiss stops earlier when the objective no longer changes.
        seed: of the initial centroids, drawn anew in each epoch.
        rng: chooses which clusters are split.
        device: where rows are searched.
        spherical: centroids have unit length, as rows then should: the nearest one is that of the greatest cosine.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    if device == "cpu":
        centroids, means, splits = _search(rows, k, iterations, seed, spherical)
    else:
        # torch takes seconds to load, and on a CPU nothing here needs it.
        from stages.method.device_kmeans import search

        centroids, means, splits = search(rows, k, iterations=iterations, seed=seed, device=device, spherical=spherical)
    centroids, repaired, assignment, distance = _repair(rows, centroids, rng, spherical, device)
    return Clustering(assignment, distance, centroids, [*means, float(distance.mean())], splits, repaired)


def _search(
    rows: NDArray[np.float32], k: int, iterations: int, seed: int, spherical: bool
) -> tuple[NDArray[np.float32], list[float], list[int]]:
    """Centroids by faiss, (k, d); of each iteration the mean squared distance and the splits."""
    import faiss

    found = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        seed=seed,
        spherical=spherical,
        min_points_per_centroid=1,
        max_points_per_centroid=10_000_000,
    )
    found.train(rows)
    assert found.centroids is not None and found.iteration_stats is not None
    # faiss sums cosines where centroids are spherical: |x - c|^2 = 2 - 2 cos for unit lengths.
    means = [float(step["obj"]) / len(rows) for step in found.iteration_stats]
    objective = [2 - 2 * mean if spherical else mean for mean in means]
    return found.centroids.copy(), objective, [int(step["nsplit"]) for step in found.iteration_stats]


def _repair(
    rows: NDArray[np.float32], centroids: NDArray[np.float32], rng: np.random.Generator, spherical: bool, device: str
) -> tuple[NDArray[np.float32], int, NDArray[np.int64], NDArray[np.float64]]:
    """Fills empty clusters by splitting others, chosen with probability proportional to their size.

    Returns:
        The centroids, the number of splits, and the assignment and squared distances of all rows.
    """
    k = len(centroids)
    splits = 0
    assignment, distance = assign(rows, centroids, device)
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
            both = np.stack(_split(rows[members[source]]))
            centroids[[source, target]] = _unit(both) if spherical else both
            splits += 1
        assignment, distance = assign(rows, centroids, device)
    return centroids, splits, assignment, distance


def _split(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two centroids by 2-means, each the nearest of at least one row; the rows must not all be equal."""
    first: NDArray[np.floating] = rows[_squares(rows, rows.mean(0, dtype=np.float64)).argmax()]
    second: NDArray[np.floating] = rows[_squares(rows, first).argmax()]
    for _ in range(SPLIT_ROUNDS):
        near = _squares(rows, first) <= _squares(rows, second)
        if near.all() or not near.any():
            break
        first, second = rows[near].mean(0, dtype=np.float64), rows[~near].mean(0, dtype=np.float64)
    return first.astype(np.float32), second.astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; one of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _squares(
    rows: NDArray[np.float32], points: NDArray[np.floating], which: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """(N,) float64 squared distances of the rows to one point (d,), or of row i to points[which[i]] of (k, d)."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), ASSIGN_ROWS):
        part = slice(start, start + ASSIGN_ROWS)
        difference = rows[part].astype(np.float64) - (points if which is None else points[which[part]])
        out[part] = np.einsum("ij,ij->i", difference, difference)
    return out


def of_groups(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> Clustering:
    """The clustering for groups that are already known, such as classes or the basins of PIC.

    Args:
        rows: (N, d).
        groups: (N,) the group of each row, numbered from 0 without gaps.
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
