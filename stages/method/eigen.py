"""The leading eigenvectors of a large symmetric matrix: whitening needs 256 of 4096."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg.blas import dsymm

Array = NDArray[np.float64]

BLOCK = 64
"""Vectors that the matrix is multiplied with at a time: enough for matrix products to run at their full speed."""

SMALL = 1024
"""Matrices up to this side are left to LAPACK, which takes a fraction of a second."""

TOLERANCE = 1e-7
"""Residual |Av - wv| at which an eigenpair is accepted, as a share of its eigenvalue."""

FLOOR = 1e-12
"""Share of the largest eigenvalue below which one is rounding: its residual need not be smaller still."""


def leading(matrix: Array, count: int) -> tuple[Array, Array]:
    """The `count` largest eigenvalues, largest first, and their vectors as columns.

    Block Lanczos with full reorthogonalisation (Golub and Van Loan, section 10.3.6); LAPACK, which
    reduces the whole matrix first, where the matrix is small or its spectrum too flat to converge.

    Args:
        matrix: (n, n) positive semidefinite, of which the upper triangle is read.
        count: at most n.

    Returns:
        (count,) eigenvalues and (n, count) orthonormal vectors.
    """
    found = None if len(matrix) <= max(SMALL, 4 * count) else _lanczos(matrix, count)
    return found or _dense(matrix, count)


def _dense(matrix: Array, count: int) -> tuple[Array, Array]:
    n = len(matrix)
    values, vectors = scipy.linalg.eigh(matrix, lower=False, subset_by_index=(n - count, n - 1))
    return values[::-1], vectors[:, ::-1]


def _lanczos(matrix: Array, count: int) -> tuple[Array, Array] | None:
    """None where half of all vectors did not suffice."""
    n = len(matrix)
    most = n // 2
    basis = np.empty((n, most + BLOCK), order="F")
    projected = np.zeros((most + BLOCK, most + BLOCK))
    # Any start will do that is not orthogonal to a wanted vector; a fixed one gives the same bytes each time.
    basis[:, :BLOCK] = np.linalg.qr(np.random.default_rng(0).standard_normal((n, BLOCK)))[0]
    first, last = 0, BLOCK
    while last <= most:
        image = dsymm(1.0, matrix, basis[:, first:last])
        image, projected[:last, first:last] = _orthogonal(image, basis[:, :last])
        following, remainder = np.linalg.qr(image)
        if last >= 2 * count and last // BLOCK % 2 == 0:
            values, inner = _dense(projected[:last, :last], count)
            residual = np.linalg.norm(remainder @ inner[first:last], axis=0)
            least = FLOOR * values[0]
            if (residual <= np.where(values > least, TOLERANCE * values, least)).all():
                return values, basis[:, :last] @ inner
        # Where the rank is used up the remainder is rounding, whose direction is not yet orthogonal.
        following, _ = _orthogonal(following, basis[:, :last])
        basis[:, last : last + BLOCK] = np.linalg.qr(following)[0]
        first, last = last, last + BLOCK
    return None


def _orthogonal(vectors: Array, basis: Array) -> tuple[Array, Array]:
    """`vectors` without their part in `basis`, and that part's coordinates; twice, since once leaves rounding."""
    coordinates = np.zeros((basis.shape[1], vectors.shape[1]))
    for _ in range(2):
        part = basis.T @ vectors
        vectors = vectors - basis @ part
        coordinates += part
    return vectors, coordinates
