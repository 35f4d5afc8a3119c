"""Nearest neighbours among the rows themselves, by an exhaustive search: faiss's, or torch's on a device."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_others(
    rows: NDArray[np.float32], count: int, device: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `count` nearest other rows of each of (N, d) rows, nearest first; `count` < N.

    Args:
        device: where rows are searched.

    Returns:
        Indices (N, count) int64 and squared L2 distances (N, count) float32.
    """
    if device != "cpu":
        from stages.method.device_neighbours import nearest_others_on

        return nearest_others_on(rows, count, device)
    import faiss

    rows = np.ascontiguousarray(rows, np.float32)
    distance, index = faiss.knn(rows, rows, count + 1)
    own = np.arange(len(rows))[:, None]
    # Among equal rows, a row is not always found first, or at all. Where it is not found, all count + 1 neighbours
    # are other rows, and the farthest is dropped instead.
    itself = index == own
    itself[~itself.any(1), -1] = True
    shape = (len(rows), count)
    return index[~itself].reshape(shape), np.maximum(distance[~itself].reshape(shape), 0)


def nearest_rows(
    queries: NDArray[np.float32], rows: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `count` rows nearest to each query, at most all: indices and squared distances, both (Q, count)."""
    import faiss

    queries, rows = (np.ascontiguousarray(each, np.float32) for each in (queries, rows))
    distance, index = faiss.knn(queries, rows, min(count, len(rows)))
    return index, np.maximum(distance, 0)


def nearest_pairs(
    rows: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The `count` pairs of rows nearest to each other: a and b with a < b, and squared distances, nearest first.

    Fewer where there are fewer pairs.
    """
    others = min(len(rows) - 1, 8)
    while others > 0:
        index, distance = nearest_others(rows, others)
        a, b = np.repeat(np.arange(len(rows)), others), index.ravel()
        first, second = np.minimum(a, b), np.maximum(a, b)
        _, once = np.unique(first * len(rows) + second, return_index=True)
        squared = distance.ravel()[once]
        nearest = np.argsort(squared, kind="stable")[:count]
        # A row whose neighbours are all this close may have more of them.
        hidden = len(nearest) < count or (distance[:, -1] < squared[nearest[-1]]).any()
        if not hidden or others == len(rows) - 1:
            return first[once][nearest], second[once][nearest], squared[nearest]
        others = min(len(rows) - 1, 2 * others)
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
