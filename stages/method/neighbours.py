"""Nearest neighbours among the rows themselves, by faiss's exhaustive search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_others(rows: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `count` nearest other rows of each of (N, d) rows, nearest first; `count` < N.

    Returns:
        Indices (N, count) int64 and squared L2 distances (N, count) float32.
    """
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
