"""The leading eigenvectors of a large symmetric matrix: whitening needs 256 of 4096."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm, dsymm

Array = NDArray[np.float64]

BLOCK = 64
"""Vectors that the matrix is multiplied with at a time: enough for matrix products to run at their full speed."""

CHECK_EVERY = 4
"""Blocks between looks at the residuals: each costs as much as several blocks."""

SMALL = 2048
"""Matrices up to this side are left to LAPACK, which takes less than half a second."""

TOLERANCE = 1e-7
"""Residual |Av - wv| at which an eigenpair is accepted, as a share of its eigenvalue."""

FLOOR = 1e-12
"""Share of the largest eigenvalue below which one is rounding: its residual need not be smaller still."""


USED_UP = 1e-6
"""Length of a block's remainder, as a share of the matrix's, from which on the rank is exhausted."""


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
    """None where half of all vectors did not suffice.

    All products are scipy's: its BLAS and numpy's keep threads of their own, and where the two
    take turns each waits for the other's to fall asleep, which triples the time.
    """
    n = len(matrix)
    most = n // 2
    basis = np.empty((n, most + BLOCK), order="F")
    projected = np.zeros((most + BLOCK, most + BLOCK))
    # Any start will do that is not orthogonal to a wanted vector; a fixed one gives the same bytes each time.
    basis[:, :BLOCK], _ = _qr(np.random.default_rng(0).standard_normal((n, BLOCK)))
    first, last = 0, BLOCK
    while last <= most:
        image = dsymm(1.0, matrix, basis[:, first:last])
        image, projected[:last, first:last] = _orthogonal(image, basis[:, :last])
        following, remainder = _qr(image)
        if last >= 3 * count and last // BLOCK % CHECK_EVERY == 0:
            values, inner = _dense(projected[:last, :last], count)
            residual = np.linalg.norm(dgemm(1.0, remainder, inner[first:last]), axis=0)
            least = FLOOR * values[0]
            if (residual <= np.where(values > least, TOLERANCE * values, least)).all():
                return values, dgemm(1.0, basis[:, :last], inner)
        if np.abs(np.diag(remainder)).min() < USED_UP * projected[0, 0]:
            # The remainder is rounding, whose direction is not yet orthogonal.
            following, _ = _qr(_orthogonal(following, basis[:, :last])[0])
        basis[:, last : last + BLOCK] = following
        first, last = last, last + BLOCK
    return None


def _orthogonal(vectors: Array, basis: Array) -> tuple[Array, Array]:
    """`vectors` without their part in `basis`, and that part's coordinates; twice, since once leaves rounding."""
    coordinates = np.zeros((basis.shape[1], vectors.shape[1]))
    for _ in range(2):
        part = dgemm(1.0, basis, vectors, trans_a=True)
        vectors = dgemm(-1.0, basis, part, beta=1.0, c=vectors)
        coordinates += part
    return vectors, coordinates


def _qr(vectors: Array) -> tuple[Array, Array]:
    q, r = scipy.linalg.qr(vectors, mode="economic")
    return q, r
