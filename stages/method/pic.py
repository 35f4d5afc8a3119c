"""Power Iteration Clustering on the graph of nearest neighbours, in sparse matrices.

The alternative to k-means that section 3.2 names. The number of clusters is not chosen: clusters
are the basins of the local maxima of the stationary vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.method.neighbours import nearest_others


def affinity(index: NDArray[np.int64], distance: NDArray[np.float32], sigma: float) -> sparse.csr_matrix:
    """exp(-distance / sigma^2) between neighbours, made symmetric by adding the transpose."""
    n, count = index.shape
    weights = np.exp(-distance.astype(np.float64) / sigma**2).ravel()
    starts = np.arange(0, n * count + 1, count)
    directed = sparse.csr_matrix((weights, index.ravel(), starts), shape=(n, n))
    return sparse.csr_matrix(directed + directed.T)


def power_iterations(graph: sparse.csr_matrix, alpha: float, iterations: int) -> NDArray[np.float64]:
    """v <- alpha W^T v + (1 - alpha) / N, rescaled to sum 1, from the uniform vector."""
    n = graph.shape[0]
    transposed = graph.T.tocsr()
    v = np.full(n, 1 / n)
    for _ in range(iterations):
        v = alpha * (transposed @ v) + (1 - alpha) / n
        v /= v.sum()
    return v


def basins(graph: sparse.csr_matrix, v: NDArray[np.float64]) -> NDArray[np.int64]:
    """The local maximum that each node climbs to, numbered densely.

    A node points to the neighbour j of greatest positive weight * (v_j - v_i), or to itself.
    """
    n = graph.shape[0]
    edges = graph.tocoo()
    gain = edges.data * (v[edges.col] - v[edges.row])
    order = np.lexsort((edges.col, -gain, edges.row))
    row = edges.row[order]
    best = order[np.flatnonzero(np.diff(row, prepend=-1))]
    best = best[gain[best] > 0]
    pointer = np.arange(n)
    pointer[edges.row[best]] = edges.col[best]
    while True:
        further = pointer[pointer]
        if np.array_equal(further, pointer):
            break
        pointer = further
    return np.unique(pointer, return_inverse=True)[1]


def join_singletons(cluster: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Puts a node that is alone into the cluster of its first neighbour that is not."""
    sizes = np.bincount(cluster)
    alone = sizes[cluster] == 1
    company = ~alone[index]
    moved = np.flatnonzero(alone & company.any(1))
    joined = cluster.copy()
    joined[moved] = cluster[index[moved, company[moved].argmax(1)]]
    return np.unique(joined, return_inverse=True)[1]


def power_iteration_clustering(
    rows: NDArray[np.float32], *, neighbours: int, sigma: float, alpha: float, iterations: int
) -> NDArray[np.int64]:
    """(N,) clusters of the rows, numbered densely from 0."""
    index, distance = nearest_others(rows, neighbours)
    graph = affinity(index, distance, sigma)
    return join_singletons(basins(graph, power_iterations(graph, alpha, iterations)), index)
