"""Nearest other rows, found exactly by faiss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_others(rows: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `count` nearest other rows of each row: indices and squared distances, both (N, count)."""
    import faiss

    rows = np.ascontiguousarray(rows, np.float32)
    distance, index = faiss.knn(rows, rows, count + 1)
    own = np.arange(len(rows))[:, None]
    # With repeated rows a row need not be its own first neighbour; where it was not found at all,
    # the last of the others gives way.
    itself = index == own
    itself[~itself.any(1), -1] = True
    shape = (len(rows), count)
    return index[~itself].reshape(shape), np.maximum(distance[~itself].reshape(shape), 0)
