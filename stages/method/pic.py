"""Power Iteration Clustering on the graph of nearest neighbours, with sparse matrices.

The paper's introduction names it as an alternative to k-means. The number of clusters is not a parameter: power
iterations give each node a value, and each local maximum of that value over the graph is a cluster, together with
all nodes from which the steepest ascent leads to it (its basin).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stages.method.neighbours import nearest_others


def affinity(index: NDArray[np.int64], distance: NDArray[np.float32], sigma: float) -> sparse.csr_matrix:
    """The graph W = A + A^T with A_ij = exp(-distance_ij / sigma^2) for neighbours j of i, else 0.

    Args:
        index, distance: (N, neighbours) of each row's neighbours, as `nearest_others` gives them; distances squared.

    Returns:
        (N, N) float64, sparse and symmetric.
    """
    n, count = index.shape
    weights = np.exp(-distance.astype(np.float64) / sigma**2).ravel()
    starts = np.arange(0, n * count + 1, count)
    directed = sparse.csr_matrix((weights, index.ravel(), starts), shape=(n, n))
    return sparse.csr_matrix(directed + directed.T)


def power_iterations(graph: sparse.csr_matrix, alpha: float, iterations: int) -> NDArray[np.float64]:
    """(N,) float64: starts from 1 / N and repeats v <- alpha W^T v + (1 - alpha) / N, rescaled to sum 1."""
    n = graph.shape[0]
    transposed = graph.T.tocsr()
    v = np.full(n, 1 / n)
    for _ in range(iterations):
        v = alpha * (transposed @ v) + (1 - alpha) / n
        v /= v.sum()
    return v


def basins(graph: sparse.csr_matrix, v: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) int64: for each node, which local maximum of `v` it leads to; the maxima are numbered from 0.

    Node i leads on to the neighbour j with the greatest W_ij (v_j - v_i), and is a local maximum where none is
    positive.
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
    """Moves each node that is a cluster by itself into the cluster of its nearest neighbour that is not.

    Args:
        cluster: (N,) the cluster of each node.
        index: (N, neighbours) neighbours of each node, nearest first.

    Returns:
        (N,) clusters, numbered from 0 without gaps.
    """
    sizes = np.bincount(cluster)
    alone = sizes[cluster] == 1
    company = ~alone[index]
    moved = np.flatnonzero(alone & company.any(1))
    joined = cluster.copy()
    joined[moved] = cluster[index[moved, company[moved].argmax(1)]]
    return np.unique(joined, return_inverse=True)[1]


def power_iteration_clustering(
    rows: NDArray[np.float32], *, neighbours: int, sigma: float, alpha: float, iterations: int, device: str = "cpu"
) -> NDArray[np.int64]:
    """Clusters (N, d) rows: their graph, power iterations, basins, and single nodes joined to a neighbour's cluster.

    Args:
        neighbours: of each row in the graph.
        sigma: width of the Gaussian kernel on squared distances.
        alpha: weight of the graph against the uniform vector.
        iterations: number of power iterations.
        device: where neighbours are searched.

    Returns:
        (N,) int64 cluster of each row, numbered from 0 without gaps.
    """
    index, distance = nearest_others(rows, neighbours, device)
    graph = affinity(index, distance, sigma)
    return join_singletons(basins(graph, power_iterations(graph, alpha, iterations)), index)
