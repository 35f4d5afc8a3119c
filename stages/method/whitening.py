"""PCA, whitening and l2-normalisation of features, in blocks (section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm, dsyrk, sgemm, ssyrk

from stages.method.eigen import leading

Array = NDArray[np.float64]

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are rounding: that of float32 features, squared."""

NARROW = 1024
"""Features up to this many are whitened in float64 throughout: it takes next to no time."""

PROMINENT = 32
"""Components that are taken out of rows before float32 products: beside them, all others drown in rounding."""

SAMPLE = 1024
"""Rows that tell the prominent components, roughly."""

RESOLVED = 1e-8
"""Share of the variance from which on the float32 rows themselves tell a component from their rounding."""

RESOLVED_BESIDE = 1e-4
"""The same share, of the variance beside the prominent components, for sums of float32 products."""


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
        if not found.resolved(dim):
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
        if len(self.mean) > NARROW and self.eigenvalues[-1] > RESOLVED * self.total_variance:
            mean = self.mean.astype(np.float32)
            white = (block.astype(np.float32, copy=False) - mean) @ self.components.astype(np.float32)
            white += (mean - self.mean) @ self.components
        else:
            white = _centred(block, self.mean) @ self.components
        norm = np.linalg.norm(white, axis=1, keepdims=True)
        out = np.zeros((len(block), self.dim), np.float32)
        np.divide(white, norm, out=out[:, : self.rank], where=norm > 0)
        return out


@dataclass(frozen=True)
class _Principal:
    """Mean (d,), total variance, leading variances (n,) and their directions (d, n).

    noise: the variance that was summed in float32; 0 where all was float64.
    """

    mean: Array
    total: float
    values: Array
    vectors: Array
    noise: float = 0.0

    def resolved(self, dim: int) -> bool:
        """Whether the last of `dim` components stands out of the rounding."""
        if self.noise == 0:
            return True
        return len(self.values) == dim and bool(
            self.values[-1] > max(RESOLVED * self.total, RESOLVED_BESIDE * self.noise)
        )


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
            exact = dtype is np.float64 or block.shape[1] <= NARROW
            moments = (_Moments if exact else _Float32Moments)(rows[0])
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
    return _Principal(mean, float(np.trace(products)), values, directions)


class _Moments:
    """Mean and covariance of rows that come in blocks, shifted by the first block's mean so that nothing cancels."""

    def __init__(self, first: NDArray[np.floating]) -> None:
        # A float32 number, so that subtracting it rounds next to nothing.
        self.shift = first.mean(0, dtype=np.float64).astype(np.float32)
        self.count = 0
        self.sums = np.zeros(len(self.shift))
        self.products = np.zeros((len(self.shift), len(self.shift)), order="F")

    def add(self, block: NDArray[np.floating]) -> None:
        centred = _centred(block, self.shift)
        self.sums += centred.sum(0)
        self.count += len(block)
        # Half the work of a product of two matrices: one triangle.
        self.products = dsyrk(1.0, centred.T, beta=1.0, c=self.products, overwrite_c=True)

    def principal(self, dim: int) -> _Principal:
        return self._principal(dim, self.products, 0.0)

    def _principal(self, dim: int, products: Array, noise: float) -> _Principal:
        offset = self.sums / self.count
        mean = self.shift + offset
        _refuse_not_finite(mean)
        covariance = products
        covariance /= self.count
        covariance -= np.outer(offset, offset)
        if not np.isfinite(covariance).all():
            return _Principal(mean, np.inf, np.zeros(0), np.zeros((len(mean), 0)), np.inf)
        values, vectors = _above_rounding(*leading(covariance, min(dim, len(mean))))
        return _Principal(mean, float(np.trace(covariance)), values, vectors, noise)


class _Float32Moments(_Moments):
    """The same in half the time: x = Q c + r, of which only the products of r are summed in float32.

    Q: (d, 32), roughly the first components; whatever it is, the identity holds. Products are scipy's
    alone, as in `eigen`.
    """

    def __init__(self, first: NDArray[np.floating]) -> None:
        super().__init__(first)
        sample = _centred(first[:SAMPLE], self.shift)
        self.axes = np.asfortranarray(_principal([sample], PROMINENT, np.float64).vectors, np.float32)
        self.along = np.zeros((self.axes.shape[1],) * 2)
        self.cross = np.zeros(self.axes.shape[::-1])

    def add(self, block: NDArray[np.floating]) -> None:
        rest = block.astype(np.float32, copy=False) - self.shift
        self.sums += rest.sum(0, dtype=np.float64)
        self.count += len(block)
        along = sgemm(1.0, self.axes, rest.T, trans_a=True)
        rest = sgemm(-1.0, self.axes, along, beta=1.0, c=rest.T, overwrite_c=True)
        self.along += dgemm(1.0, along, along, trans_b=True)
        # Products of large features are beyond float32: principal() says so.
        with np.errstate(invalid="ignore", over="ignore"):
            self.cross += sgemm(1.0, along, rest, trans_b=True)
            self.products += ssyrk(1.0, rest)

    def principal(self, dim: int) -> _Principal:
        noise = float(np.trace(self.products)) / self.count
        axes = self.axes.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            half = dgemm(1.0, axes, self.cross + dgemm(0.5, self.along, axes, trans_b=True))
        return self._principal(dim, self.products + half + half.T, noise)


def _above_rounding(values: Array, vectors: Array) -> tuple[Array, Array]:
    keep = values > RANK_TOLERANCE * values[0]
    return values[keep], vectors[:, keep]


def _centred(block: NDArray[np.floating], by: NDArray[np.floating]) -> Array:
    # Twice as fast as block - by, which converts in small pieces.
    centred = block.astype(np.float64)
    centred -= by
    return centred


def _refuse_not_finite(mean: Array) -> None:
    if not np.isfinite(mean).all():
        raise ValueError("a feature is not finite")
