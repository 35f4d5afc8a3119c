"""PCA, whitening and l2-normalisation of features, in blocks (section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from stages.method.eigen import leading

Array = NDArray[np.float64]

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
        mean, total, values, vectors = _principal(blocks, dim)
        if not total > 0:
            raise ValueError("all features are equal")
        # A sign per component is free: the largest entry is made positive, whatever the solver chose.
        largest = vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])]
        components = vectors * (np.sign(largest) / np.sqrt(values))
        return cls(mean, components, values, total, dim)

    def apply(self, block: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, d) rows to (n, dim) float32 rows of unit length; a row equal to the mean stays zero."""
        white = _centred(block, self.mean) @ self.components
        norm = np.linalg.norm(white, axis=1, keepdims=True)
        out = np.zeros((len(block), self.dim), np.float32)
        np.divide(white, norm, out=out[:, : self.rank], where=norm > 0)
        return out


def _principal(blocks: Iterable[NDArray[np.floating]], dim: int) -> tuple[Array, float, Array, Array]:
    """Mean (d,), total variance, the variances along the leading components and these (d, rank).

    All sums are float64: a trained network's features vary 10^8 times as much along the first
    component as along the 256th. Up to d rows are kept and their inner products taken, (n, n),
    which have the same eigenvalues as the covariance, (d, d), and are fewer.
    """
    rows: list[NDArray[np.floating]] = []
    moments = None
    for block in blocks:
        if moments is None:
            rows.append(block)
            if sum(map(len, rows)) <= block.shape[1]:
                continue
            moments = _Moments(rows[0].mean(0, dtype=np.float64))
            for kept in rows:
                moments.add(kept)
            rows.clear()
        else:
            moments.add(block)
    if moments is not None:
        mean, covariance = moments.result()
        _refuse_not_finite(mean)
        total = float(np.trace(covariance))
        values, vectors = leading(covariance, min(dim, len(mean)))
        return mean, total, *_above_rounding(values, vectors)
    if not rows:
        raise ValueError("there are no features")
    centred = np.concatenate(rows).astype(np.float64)
    mean = centred.mean(0)
    _refuse_not_finite(mean)
    centred -= mean
    products = centred @ centred.T / len(centred)
    total = float(np.trace(products))
    values, vectors = _above_rounding(*leading(products, min(dim, len(centred))))
    return mean, total, values, centred.T @ (vectors / np.sqrt(len(centred) * values))


class _Moments:
    """Mean and covariance of rows that come in blocks, shifted by the first block's mean so that nothing cancels."""

    def __init__(self, shift: Array) -> None:
        self.shift = shift
        self.count = 0
        self.sums = np.zeros(len(shift))
        self.products = np.zeros((len(shift), len(shift)), order="F")

    def add(self, block: NDArray[np.floating]) -> None:
        centred = _centred(block, self.shift)
        self.sums += centred.sum(0)
        # Half the work of a product of two matrices: one triangle, added where it lies.
        self.products = dsyrk(1.0, centred.T, beta=1.0, c=self.products, overwrite_c=True)
        self.count += len(block)

    def result(self) -> tuple[Array, Array]:
        """The mean, and the covariance's upper triangle."""
        offset = self.sums / self.count
        return self.shift + offset, self.products / self.count - np.outer(offset, offset)


def _centred(block: NDArray[np.floating], by: Array) -> Array:
    # Twice as fast as block - by, which converts in small pieces.
    centred = block.astype(np.float64)
    centred -= by
    return centred


def _above_rounding(values: Array, vectors: Array) -> tuple[Array, Array]:
    keep = values > RANK_TOLERANCE * values[0]
    return values[keep], vectors[:, keep]


def _refuse_not_finite(mean: Array) -> None:
    if not np.isfinite(mean).all():
        raise ValueError("a feature is not finite")
