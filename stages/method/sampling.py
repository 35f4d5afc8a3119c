"""Which images an epoch trains on: uniform over the pseudo-labels (section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHANCE_BITS = 40
"""Random bits that order the images of a label. Equal ones are rare, and an int64 has room for 2^23 labels above."""


def dense_labels(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k,) int64 label of each cluster: non-empty clusters are numbered from 0 in order, empty ones are -1.

    Args:
        sizes: (k,) number of images in each cluster.
    """
    return np.where(sizes > 0, np.cumsum(sizes > 0) - 1, -1)


def uniform_draws(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count,) int64 image indices in random order, each label drawn about equally often (section 3.3).

    Each label gets count // labels + 1 draws: without replacement if it has more images than that, else with
    replacement. All draws are shuffled and the first `count` are kept.

    Args:
        labels: (N,) label of each image, numbered from 0 without gaps.
    """
    sizes = np.bincount(labels)
    share = count // len(sizes) + 1
    # Sorts the images by label and in random order within each: the first `share` are draws without replacement.
    # Sorting one number that holds both (label above, random bits below) is five times as fast as two sort keys.
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
    """(count,) int64 image indices as the authors' released code draws them, which is not uniform over labels.

    Its sampler draws image indices as `uniform_draws` does, but its data set is sorted by cluster, so each index is
    taken as a position in that order. Every image gets its right label, but large clusters are drawn more often.

    Args:
        labels: (N,) label of each image, numbered from 0 without gaps.
    """
    by_cluster = np.argsort(labels, kind="stable")
    return by_cluster[uniform_draws(labels, count, rng)]


def shuffled_draws(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count,) int64 image indices: each image once in random order, then again, whatever its label.

    Args:
        labels: (N,) label of each image.
    """
    rounds = [rng.permutation(len(labels)) for _ in range(-(-count // len(labels)))]
    return np.concatenate(rounds)[:count]


def batches(count: int, size: int) -> list[tuple[int, int]]:
    """Start and end of consecutive batches of `size` out of `count` images, the last one smaller or by one larger.

    A single image left over joins the batch before it, since batch normalisation cannot train on one value per
    channel.
    """
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))
