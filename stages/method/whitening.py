"""PCA, whitening and l2-normalisation of features, in blocks (section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk, ssyrk

from stages.method.eigen import leading

Array = NDArray[np.float64]

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are rounding: that of float32 features, squared."""

NARROW = 1024
"""Features up to this many are whitened in float64 throughout: it takes next to no time."""

RESOLVED = 2e-5
"""Share of the variance from which on float32 suffices: whitened rows' inner products err by 2e-10 over it."""


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
        """The leading `dim` components of (n, d) blocks, never all in memory.

        Args:
            blocks: iterated twice where float32 products, which take half the time, do not suffice: a
                trained network's features can vary 10^8 times as much along the first component as
                along the 256th.

        Raises:
            ValueError: all rows are equal, or a value is not finite.
        """
        found = _principal(blocks, dim, np.float32)
        if not (found.exact or _resolved(found.values, dim, found.total)):
            found = _principal(blocks, dim, np.float64)
        if not found.total > 0:
            raise ValueError("all features are equal")
        values, vectors = found.values, found.vectors
        # A sign per component is free: the largest entry is made positive, whatever the solver chose.
        largest = vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])]
        components = vectors * (np.sign(largest) / np.sqrt(values))
        return cls(found.mean, components, values, found.total, dim)

    def apply(self, block: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, d) rows to (n, dim) float32 rows of unit length; a row equal to the mean stays zero."""
        quick = len(self.mean) > NARROW and _resolved(self.eigenvalues, self.dim, self.total_variance)
        dtype = np.float32 if quick else np.float64
        white = _centred(block, self.mean, dtype) @ self.components.astype(dtype)
        norm = np.linalg.norm(white, axis=1, keepdims=True)
        out = np.zeros((len(block), self.dim), np.float32)
        np.divide(white, norm, out=out[:, : self.rank], where=norm > 0)
        return out


@dataclass(frozen=True)
class _Principal:
    """Mean (d,), total variance, leading variances (n,) and their directions (d, n); whether all is float64."""

    mean: Array
    total: float
    values: Array
    vectors: Array
    exact: bool


def _resolved(values: Array, dim: int, total: float) -> bool:
    """Whether float32 tells the last of `dim` components from rounding."""
    return len(values) == dim and bool(values[-1] > RESOLVED * total)


def _principal(blocks: Iterable[NDArray[np.floating]], dim: int, dtype: type[np.floating]) -> _Principal:
    """The leading components, by sums of products of rows in `dtype`; of narrow layers always in float64.

    Up to d rows are kept and their inner products taken, (n, n), which have the same eigenvalues
    as the covariance, (d, d), and are fewer.
    """
    rows: list[NDArray[np.floating]] = []
    moments = None
    for block in blocks:
        if moments is None:
            rows.append(block)
            if sum(map(len, rows)) <= block.shape[1]:
                continue
            narrow = block.shape[1] <= NARROW
            moments = _Moments(rows[0].mean(0, dtype=np.float64), np.float64 if narrow else dtype)
            for kept in rows:
                moments.add(kept)
            rows.clear()
        else:
            moments.add(block)
    if moments is not None:
        return moments.principal(dim)
    if not rows:
        raise ValueError("there are no features")
    centred = np.concatenate(rows).astype(np.float64)
    mean = centred.mean(0)
    _refuse_not_finite(mean)
    centred -= mean
    products = centred @ centred.T / len(centred)
    values, vectors = _above_rounding(*leading(products, min(dim, len(centred))))
    directions = centred.T @ (vectors / np.sqrt(len(centred) * values))
    return _Principal(mean, float(np.trace(products)), values, directions, exact=True)


class _Moments:
    """Mean and covariance of rows that come in blocks, shifted by the first block's mean so that nothing cancels."""

    def __init__(self, shift: Array, dtype: type[np.floating]) -> None:
        self.shift, self.dtype = shift.astype(dtype), dtype
        self.count = 0
        self.sums = np.zeros(len(shift))
        self.products = np.zeros((len(shift), len(shift)), order="F")

    def add(self, block: NDArray[np.floating]) -> None:
        centred = _centred(block, self.shift, self.dtype)
        self.sums += centred.sum(0, dtype=np.float64)
        self.count += len(block)
        # Half the work of a product of two matrices: one triangle.
        if self.dtype is np.float64:
            self.products = dsyrk(1.0, centred.T, beta=1.0, c=self.products, overwrite_c=True)
        else:
            with np.errstate(invalid="ignore"):
                self.products += ssyrk(1.0, centred.T)

    def principal(self, dim: int) -> _Principal:
        offset = self.sums / self.count
        mean = self.shift + offset
        _refuse_not_finite(mean)
        covariance = self.products
        covariance /= self.count
        covariance -= np.outer(offset, offset)
        exact = self.dtype is np.float64
        if not np.isfinite(covariance).all():
            # Products of large features beyond float32.
            return _Principal(mean, np.inf, np.zeros(0), np.zeros((len(mean), 0)), exact)
        values, vectors = _above_rounding(*leading(covariance, min(dim, len(mean))))
        return _Principal(mean, float(np.trace(covariance)), values, vectors, exact)


def _above_rounding(values: Array, vectors: Array) -> tuple[Array, Array]:
    keep = values > RANK_TOLERANCE * values[0]
    return values[keep], vectors[:, keep]


def _centred(block: NDArray[np.floating], by: Array, dtype: type[np.floating]) -> NDArray[np.floating]:
    # Twice as fast as block - by, which converts in small pieces.
    centred = block.astype(dtype)
    centred -= by.astype(dtype)
    return centred


def _refuse_not_finite(mean: Array) -> None:
    if not np.isfinite(mean).all():
        raise ValueError("a feature is not finite")
