"""Classification by the nearest neighbours of a feature, which needs no training and no choice of a step size.

The paper has no such number. It is how later work compares features: the k most similar training images vote with
exp(similarity / 0.07) (Wu, Xiong, Yu and Lin 2018, section 3.4; k of 10, 20 and 200 as in Caron et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEIGHBOURS = (10, 20, 200)
"""Numbers of neighbours that vote."""

TEMPERATURE = 0.07
"""Divides a similarity before its exponential."""

TEST_ROWS, TRAIN_ROWS = 1024, 4096
"""Rows that are compared at once: 32 MiB of similarities in float64."""


def knn_classes(
    train: NDArray[np.floating],
    labels: NDArray[np.integer],
    test: NDArray[np.floating],
    neighbours: Sequence[int] = NEIGHBOURS,
    *,
    top: int = 5,
    temperature: float = TEMPERATURE,
    device: str = "cpu",
) -> dict[int, NDArray[np.int64]]:
    """The most likely classes of each test image, by number of neighbours.

    Among equally similar training images the first ones count, and among classes with equal votes the smaller comes
    first.

    Args:
        train: (N, d) features, of any length; only their directions count.
        labels: (N,) classes, from 0.
        test: (M, d) features.
        neighbours: how many vote; all where there are fewer training images.
        top: classes to give for each image.
        device: of the products.

    Returns:
        By number of neighbours, (M, top) int64, the most likely class first; -1 where no neighbour voted for another.
    """
    classes = max(int(labels.max()) + 1, top)
    found: dict[int, list[NDArray[np.int64]]] = {count: [] for count in neighbours}
    for similarity, index in _nearest(train, test, max(neighbours), device):
        weights = np.exp(similarity.astype(np.float64) / temperature)
        rows = np.arange(len(index))[:, None]
        for count, results in found.items():
            votes = np.zeros((len(index), classes))
            np.add.at(votes, (rows, labels[index[:, :count]]), weights[:, :count])
            best = np.argsort(-votes, axis=1, kind="stable")[:, :top]
            results.append(np.where(np.take_along_axis(votes, best, axis=1) > 0, best, -1))
    return {count: np.concatenate(results) for count, results in found.items()}


def _nearest(
    train: NDArray[np.floating], test: NDArray[np.floating], count: int, device: str
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """For each block of test rows, the `count` greatest cosines and the numbers of their training rows, (B, count)."""
    for start in range(0, len(test), TEST_ROWS):
        queries = _directions(test[start : start + TEST_ROWS], device)
        similarity = torch.empty(len(queries), 0, device=device)
        index = torch.empty(len(queries), 0, dtype=torch.int64, device=device)
        for first in range(0, len(train), TRAIN_ROWS):
            rows = _directions(train[first : first + TRAIN_ROWS], device)
            # Products in float64, rounded: those of equal rows are then equal, wherever the rows stand.
            similarity = torch.cat([similarity, (queries @ rows.T).float()], dim=1)
            numbers = torch.arange(first, first + len(rows), device=device).expand(len(queries), -1)
            index = torch.cat([index, numbers], dim=1)
            similarity, order = similarity.sort(dim=1, descending=True, stable=True)
            similarity, index = similarity[:, :count], index.gather(1, order[:, :count])
        yield similarity.cpu().numpy(), index.cpu().numpy()


def _directions(rows: NDArray[np.floating], device: str) -> Tensor:
    """Rows as float64 of unit length; zeros stay zero."""
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64, device=device))
