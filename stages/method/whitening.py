"""PCA, whitening and l2-normalisation of features, in blocks (section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are rounding: that of float32 features, squared."""


@dataclass(frozen=True)
class PCAWhitening:
    """y = diag(eigenvalue^-1/2) V^T (x - mean), then y / |y|.

    Attributes:
        mean: (d,) float64.
        components: (d, rank) float64, columns scaled by eigenvalue^-1/2, largest first.
        eigenvalues: (rank,) float64, variances along the components.
        total_variance: variance of the features summed over all d dimensions.
        dim: number of output dimensions; those beyond the rank are zero.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    total_variance: float
    dim: int

    @property
    def rank(self) -> int:
        return len(self.eigenvalues)

    @property
    def variance_kept(self) -> float:
        """Share of the features' variance that lies in the kept dimensions."""
        return float(min(1.0, self.eigenvalues.sum() / self.total_variance))

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the kept eigenvalues (Roy and Vetterli 2007)."""
        share = self.eigenvalues / self.eigenvalues.sum()
        return float(np.exp(-(share * np.log(share)).sum()))

    @classmethod
    def fit(cls, blocks: Iterable[NDArray[np.floating]], dim: int) -> PCAWhitening:
        """The leading `dim` components of (n, d) blocks, seen once and never all at once.

        Raises:
            ValueError: all rows are equal, or a value is not finite.
        """
        mean, covariance = _moments(blocks)
        total = float(np.trace(covariance))
        if not total > 0:
            raise ValueError("all features are equal")
        d = len(mean)
        # A sign per component is free: the largest entry is made positive, whatever the solver chose.
        values, vectors = scipy.linalg.eigh(covariance, subset_by_index=(max(0, d - dim), d - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
        keep = values > RANK_TOLERANCE * values[0]
        values, vectors = values[keep], vectors[:, keep]
        largest = vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])]
        components = vectors * (np.sign(largest) / np.sqrt(values))
        return cls(mean, components, values, total, dim)

    def apply(self, block: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, d) rows to (n, dim) float32 rows of unit length; a row equal to the mean stays zero."""
        white = (block - self.mean) @ self.components
        norm = np.linalg.norm(white, axis=1, keepdims=True)
        out = np.zeros((len(block), self.dim), np.float32)
        np.divide(white, norm, out=out[:, : self.rank], where=norm > 0)
        return out


def _moments(blocks: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and covariance (d, d).

    All sums are float64, and shifted by the first block's mean so that they do not cancel: a trained
    network's features vary 10^8 times as much along the first component as along the 256th.
    """
    shift = sums = products = None
    count = 0
    for block in blocks:
        if shift is None:
            shift = block.mean(0, dtype=np.float64)
            sums = np.zeros(len(shift))
            products = np.zeros((len(shift), len(shift)))
        centred = block - shift
        sums += centred.sum(0)
        products += centred.T @ centred
        count += len(block)
    if shift is None or sums is None or products is None:
        raise ValueError("there are no features")
    if not np.isfinite(sums).all():
        raise ValueError("a feature is not finite")
    offset = sums / count
    covariance = products / count - np.outer(offset, offset)
    return shift + offset, covariance
