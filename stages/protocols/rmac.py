"""R-MAC: one descriptor of a picture from the maxima of its last maps over regions (section 5.3, Table 5).

Tolias, Sicre and Jégou (2016), with the whitening of the released code. The maps are those of `conv5`, before the last
pooling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 3
"""Scales of the regions."""

OVERLAP = Fraction(2, 5)
"""Share of a region of the first scale that its neighbour should cover."""

MOST_EXTRA = 6
"""Most regions by which the longer side has more than the shorter."""

DIMENSIONS = 512
"""Most dimensions of a descriptor: the channels of VGG-16's conv5."""

FLOOR = 1e-5
"""Share of the largest eigenvalue to which smaller ones are raised."""


def regions(height: int, width: int, levels: int = LEVELS) -> NDArray[np.int64]:
    """(R, 3) top, left and side, in cells of a map, of square regions: 14 of a square map, 20 of 4:3, 26 of 2:1.

    At scale l, the side is 2 / (l + 1) of the map's shorter one, and the shorter side has l regions. The longer has as
    many more as bring the overlap of neighbours at the first scale nearest to `OVERLAP`.

    Args:
        height, width: of the map in cells.
    """
    short, over = min(height, width), abs(height - width)
    extra = min(range(1, MOST_EXTRA + 1), key=lambda n: abs(1 - Fraction(over, n * short) - OVERLAP))
    found = []
    for level in range(1, levels + 1):
        side = max(1, 2 * short // (level + 1))
        tops = _starts(height - side, level + (extra if height > width else 0))
        lefts = _starts(width - side, level + (extra if width > height else 0))
        found += [(top, left, side) for top in tops for left in lefts]
    return np.array(found, np.int64)


def _starts(last: int, count: int) -> list[int]:
    """`count` whole numbers at equal steps from 0 to `last`, rounded down."""
    return [number * last // max(1, count - 1) for number in range(count)]


def region_features(maps: Tensor, levels: int = LEVELS) -> NDArray[np.float32]:
    """(R, C) float32 maxima over each region of (C, H, W) maps, each row of unit length, or zeros."""
    height, width = maps.shape[1:]
    rows = [
        maps[:, top : top + side, left : left + side].amax((1, 2))
        for top, left, side in regions(height, width, levels).tolist()
    ]
    return torch.nn.functional.normalize(torch.stack(rows)).cpu().numpy()


@dataclass(frozen=True)
class RegionWhitening:
    """y = diag(eigenvalue^-1/2) V^T (x - mean) with eigenvalues no smaller than `FLOOR` of the largest; in float64.

    Attributes:
        mean: (C,) float64.
        components: (C, dim) float64, columns scaled by eigenvalue^-1/2, largest first.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]

    @classmethod
    def fit(cls, blocks: Iterable[NDArray[np.floating]], dimensions: int = DIMENSIONS) -> RegionWhitening:
        """The leading min(`dimensions`, C) components of the rows of (n, C) blocks: all regions of another set.

        Raises:
            ValueError: there are no rows, all are equal, or a value is not finite.
        """
        count, sums, products = 0, np.zeros(1), np.zeros((1, 1))
        for block in blocks:
            rows = block.astype(np.float64)
            count, sums, products = count + len(rows), sums + rows.sum(0), products + rows.T @ rows
        if not count:
            raise ValueError("there are no regions")
        mean = sums / count
        covariance = products / count - np.outer(mean, mean)
        if not np.isfinite(covariance).all():
            raise ValueError("a feature of a region is not finite")
        wanted = max(0, len(mean) - dimensions), len(mean) - 1
        values, vectors = scipy.linalg.eigh(covariance, subset_by_index=wanted)
        # Rounding leaves this share of the squares where nothing varies.
        if values[-1] <= 1e-12 * np.trace(products) / count:
            raise ValueError("all regions have equal features")
        values, vectors = values[::-1], vectors[:, ::-1]
        return cls(mean, vectors / np.sqrt(np.maximum(values, FLOOR * values[0])))

    def descriptor(self, rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """(dim,) float32 of unit length of a picture, from its (R, C) `region_features`: the sum of whitened rows.

        Each whitened row has unit length before it is added.
        """
        white = (rows.astype(np.float64) - self.mean) @ self.components
        return _unit(_unit(white).sum(0)).astype(np.float32)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of unit length; zeros stay zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
