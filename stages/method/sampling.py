"""Which images an epoch trains on: uniform over the pseudo-labels (section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANCE_BITS = 40
"""Random bits that order images within a label: ties are rare at any N, and 2^23 labels still fit above."""


def dense_labels(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label of each cluster: 0, 1, ... in the clusters' order; -1 for empty ones.

    Args:
        sizes: (k,) images of each cluster.
    """
    return np.where(sizes > 0, np.cumsum(sizes > 0) - 1, -1)


def uniform_draws(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` image indices, each label drawn equally often, in random order.

    Each label gets int(count / labels) + 1 draws, with replacement only where it has no more
    images than that; the draws are shuffled and cut to `count`.

    Args:
        labels: (N,) dense, none empty.
    """
    sizes = np.bincount(labels)
    share = count // len(sizes) + 1
    # Within each label in random order: the first `share` are draws without replacement.
    # One sort of numbers, label above and chance below, takes a fifth of the time of a sort by two keys.
    order = np.argsort(labels << CHANCE_BITS | rng.integers(0, 1 << CHANCE_BITS, len(labels)))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    large = sizes > share
    position = np.tile(np.arange(share), (len(sizes), 1))
    small = np.flatnonzero(~large)
    position[small] = (rng.random((len(small), share)) * sizes[small, None]).astype(np.int64)
    draws = order[(starts[:, None] + position).ravel()]
    rng.shuffle(draws)
    return draws[:count]


def released_draws(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """What the authors' released code feeds: uniform draws, read as positions in another order.

    Its sampler draws image indices, but its data set is sorted by cluster: the image at that
    position is fed, with its own right label, and large clusters stay over-represented.
    """
    by_cluster = np.argsort(labels, kind="stable")
    return by_cluster[uniform_draws(labels, count, rng)]


def batches(count: int, size: int) -> list[tuple[int, int]]:
    """Start and end of consecutive batches.

    A single image left over joins the batch before it: batch statistics of one 1x1 map are undefined.
    """
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))
