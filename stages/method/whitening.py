"""PCA, whitening and l2-normalisation of features, in blocks (section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are rounding: that of float32 features, squared."""


@dataclass(frozen=True)
class PCAWhitening:
    """y = diag(eigenvalue^-1/2) V^T (x - mean), then y / |y|; all arithmetic is in float64. V^T alone if not `scale`.

    Attributes:
        mean: (d,) float64.
        components: (d, rank) float64, largest first, columns scaled by eigenvalue^-1/2 where asked for.
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
    def fit(
        cls, blocks: Iterable[NDArray[np.floating]], dim: int, device: str = "cpu", *, scale: bool = True
    ) -> PCAWhitening:
        """The leading `dim` components of (n, d) blocks, iterated once; at most d rows and a block are held.

        Products of rows are summed on `device`, and eigenvectors found there.

        Raises:
            ValueError: there are no rows, all are equal, or a value is not finite.
        """
        following, held = iter(blocks), list[NDArray[np.floating]]()
        for block in following:
            held.append(block)
            if sum(map(len, held)) > block.shape[1]:
                break
        if not held:
            raise ValueError("there are no features")
        # Near the mean, so that nothing cancels; a float32 number, so that rows all equal to it become zeros.
        shift = torch.tensor(held[0], device=device).mean(0, dtype=torch.float64).float().double()
        few = sum(map(len, held)) <= len(shift)
        if few:
            # The inner products of rows have the same eigenvalues as the covariance, and are fewer.
            rows = torch.cat([torch.tensor(block, device=device) - shift for block in held])
            offset = rows.mean(0)
            rows -= offset
            products = rows @ rows.T / len(rows)
        else:
            offset, products = _covariance(chain(held, following), shift)
        total = float(products.trace())
        if not 0 < total < np.inf:
            equal = "all features are equal, as of pictures that are all alike"
            raise ValueError(equal if total <= 0 else "a feature is not finite")
        values, vectors = _leading(products, dim)
        kept = np.flatnonzero(values > RANK_TOLERANCE * values[-1])[::-1]
        values, vectors = values[kept], vectors[:, kept]
        if few:
            vectors = (rows.T @ torch.tensor(vectors / np.sqrt(len(rows) * values), device=device)).cpu().numpy()
        # A sign per component is free: the largest entry is made positive, whatever the solver chose.
        signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))])
        factors = signs / np.sqrt(values) if scale else signs
        return cls((shift + offset).cpu().numpy(), vectors * factors, values, total, dim)

    def apply(self, block: NDArray[np.floating], device: str = "cpu") -> NDArray[np.float32]:
        """(n, d) rows to (n, dim) float32 rows of unit length; a row equal to the mean stays zero."""
        mean, components = (torch.tensor(array, device=device) for array in (self.mean, self.components))
        white = (torch.tensor(block, device=device) - mean) @ components
        out = np.zeros((len(block), self.dim), np.float32)
        out[:, : self.rank] = torch.nn.functional.normalize(white).cpu().numpy()
        return out

    def project(self, block: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, d) rows to their (n, rank) float32 coordinates along the components, of no unit length."""
        coordinates: NDArray[np.float64] = (block - self.mean) @ self.components
        return coordinates.astype(np.float32)


def _leading(products: torch.Tensor, dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The `dim` greatest eigenvalues, or all, ascending, and their eigenvectors as columns, by the upper triangle."""
    first = max(0, len(products) - dim)
    if products.device.type != "cpu":
        found = torch.linalg.eigh(products, UPLO="U")
        return found.eigenvalues[first:].cpu().numpy(), found.eigenvectors[:, first:].cpu().numpy()
    # scipy's solver, since torch's finds all eigenvectors, which takes three times as long. It reads the lower
    # triangle of the transpose, which is the order of memory that LAPACK works in.
    values, vectors = scipy.linalg.eigh(
        products.numpy().T, subset_by_index=(first, len(products) - 1), overwrite_a=True
    )
    return values, vectors


def _covariance(blocks: Iterable[NDArray[np.floating]], shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of the rows less `shift`, (d,), and the upper triangle of their covariance, (d, d)."""
    count, d = 0, len(shift)
    sums, products = shift.new_zeros(d), shift.new_zeros(d, d)
    for block in blocks:
        rows = torch.tensor(block, device=shift.device) - shift
        count += len(rows)
        sums += rows.sum(0)
        # From the diagonal on: the other triangle would nearly double the time.
        for i in range(0, d, 512):
            products[i : i + 512, i:].addmm_(rows[:, i : i + 512].T, rows[:, i:])
    mean = sums / count
    return mean, products.div_(count).addr_(mean, mean, alpha=-1)
